"""Finds what a kill or a full disk left that stops the next run, and mends it.

    python tools/doctor.py      # `make doctor` does the same

For `dvc repro` that says "JSON structure is corrupted", "validation failed" or "database disk
image is malformed". Nothing is done while DVC or a stage is at work here; nothing that cannot be
made again is removed. Exit status 0 when all is well, or is so now.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import in_project, parser


def main() -> int:
    parser(__doc__).parse_args()
    with in_project():
        from lesion.upkeep.doctor import examine

        findings = []
        for finding in examine():
            findings.append(finding)
            print(finding, flush=True)
    left = sum(not finding.mended for finding in findings)
    print(f"{len(findings) - left} mended, {left} to do" if findings else "nothing to mend")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
