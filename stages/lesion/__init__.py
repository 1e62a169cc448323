"""What the stages share, in rooms: a room is what a stage depends on as a whole.

What libraries have to find when they are imported stands here, where every stage comes by before.
"""

import logging
import os
import sys
from pathlib import Path

# torch's threads sleep while they wait for each other. Otherwise waiting keeps their cores busy,
# and where other work needs those too, a step takes many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Without HOME, a user who has no name, as in a container, has no home; MLflow does not load then,
# and others make a folder called ~. In this one nothing can be made.
if os.path.expanduser("~") == "~":
    os.environ["HOME"] = os.devnull

# Where it cannot write to a home, it says at length that it takes a temporary folder.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _has_avx2() -> bool:
    """Whether this is Linux on a processor of Intel's or AMD's kind of 2013 or later."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return sys.platform == "linux" and " avx2 " in file.read(8192)  # of the first core
    except OSError:
        return False


# NumPy, SciPy and OpenCV compute alike on all processors that have AVX2, not as each is fastest:
# by wider registers they would round otherwise. Whether torch does, `precision` says (device.py).
if _has_avx2():
    os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")
    os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
    os.environ.setdefault("OPENCV_IPP", "avx2")
