"""What stages and tools say, to terminals and readers of any kind."""

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesion.console.cli import in_project
from lesion.pipeline.errors import InputError
from project import ROOT, copy_of_stages, environment, set_params

pytestmark = pytest.mark.long

ASCII = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
LATIN = {"PYTHONIOENCODING": "iso-8859-1"}
FIRST, *TOOLS = sorted((ROOT / "tools").glob("*.py"))
TOOLS = [FIRST, *(pytest.param(tool, marks=pytest.mark.slow) for tool in TOOLS)]
# Says what no terminal shows, to both streams and from a thread, and goes on working afterwards.
TALKER = """
import sys, threading
from lesion.console.cli import in_project, parser
from lesion.console.progress import Progress

parser("Says – × µ → ü.").parse_args()
with in_project():
    with Progress("bär –", 30, "images") as progress:
        for _ in range(30):
            progress.update()
            progress.say("ein Bär – \\udcff")
    for number in range(20000):
        print("–", number)
    thread = threading.Thread(target=print, args=("warning: –",))
    thread.start()
    thread.join()
    print("the end –", file=sys.stderr)
    open(sys.argv[0] + ".done", "xb")
"""


def test_what_steers_a_terminal_is_shown_and_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "\x1b[2J\x1b]0;title\x07 two\r\nlines \x9b31m \u202egpj \x00 ä 각 \udcff" + "x" * 70_000
    with pytest.raises(SystemExit) as end, in_project():
        raise InputError(name)
    assert str(end.value).isprintable() and len(str(end.value)) < 3000
    assert r"\x1b[2J\x1b]0;title\x07 two\r lines \x9b31m \u202egpj \x00 ä 각 \udcff" in str(
        end.value
    )


@pytest.fixture
def talker(tmp_path: Path) -> Path:
    path = tmp_path / "talker.py"
    path.write_text(f"# coding: utf-8\n{TALKER}", encoding="utf-8")
    return path


def start(
    command: list[str | Path], stdin: int | None = None, **variables: str
) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT / "stages"), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path, "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment() | own | variables,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("variables", [ASCII, LATIN, {"PYTHONIOENCODING": "ascii"}])
def test_what_a_terminal_cannot_show_is_a_question_mark(talker, variables):
    process = start([talker], **variables)
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    assert said.splitlines()[-1].startswith(b"warning: ?") and b"? 19999" in said
    assert b"the end" in complained and b"Error" not in complained


@pytest.mark.parametrize("arguments", [["--help"], ["--nö"]])
def test_help_and_wrong_arguments_are_shown_by_any_terminal(talker, arguments):
    process = start([talker, *arguments], **LATIN)
    said, complained = process.communicate()
    assert process.returncode == (0 if arguments == ["--help"] else 2)
    assert b"usage: talker.py" in said + complained and b"Traceback" not in complained


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_the_help_of_every_tool_is_shown_by_any_terminal(tool):
    process = start([tool, "--help"], PYTHONIOENCODING="ascii")
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    assert said.startswith(b"usage: ") and b"    python tools/" in said


@pytest.mark.parametrize(("options", "at_once"), [([], False), (["-u"], True)])
def test_unbuffered_output_is_there_at_once(tmp_path, options, at_once):
    path = tmp_path / "waits.py"
    code = "import sys\nfrom lesion.console.cli import parser\nparser('').parse_args();print('–')\n"
    path.write_text(f"{code}print(file=sys.stderr)\nsys.stdin.readline()\n", encoding="utf-8")
    process = start([*options, path], stdin=subprocess.PIPE)
    assert select.select([process.stderr], [], [], 60)[0]
    assert bool(select.select([process.stdout], [], [], 0)[0]) == at_once
    assert process.communicate(b"\n")[0] == "–\n".encode()


@pytest.mark.parametrize("options", [[], ["-u"]])
@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_work_goes_on_where_nobody_reads_any_more(talker, options, closed):
    process = start([*options, talker])
    for name in closed:  # as `| head -1` does when it has seen enough
        getattr(process, name).close()
        setattr(process, name, None)
    rest = b"".join(part or b"" for part in process.communicate())
    assert process.returncode == 0 and b"Error" not in rest
    assert Path(f"{talker}.done").exists()


def test_a_file_name_that_the_locale_cannot_hold_is_one_line(tmp_path):
    path = tmp_path / "writer.py"
    code = (
        "from lesion.console.cli import in_project\nwith in_project(): open('L\\xe4sion', 'wb')\n"
    )
    path.write_text(code, encoding="utf-8")
    process = start([path], **ASCII)
    _, complained = process.communicate()
    assert process.returncode == 1 and complained.count(b"\n") == 1
    assert complained.startswith(b"writer: 'L") and b"set PYTHONUTF8=1" in complained


@pytest.mark.slow
def test_every_stage_ends_well_in_a_locale_that_knows_ascii_alone(sample, tmp_path):
    folder = copy_of_stages(tmp_path)
    shutil.copytree(sample, folder / "own")
    set_params(folder, data="own", image_size=32, width=2, depth=2, epochs=1, threads=1)
    (folder / "mlflow.db").mkdir()  # a store that fails: the stage train warns of it
    stages = ["download", "collect", "preprocess", "baseline", "encoder", "train", "evaluate"]
    for stage in (*stages, "external", "plot"):
        process = start([folder / f"stages/{stage}.py"], **ASCII)
        said, complained = process.communicate()
        assert process.returncode == 0 and b"Traceback" not in complained, complained
        assert said.isascii() and (b"warning: MLflow" in said) == (stage == "train")
    assert "–".encode() in (folder / "plots/report.html").read_bytes()


# Opens its data only when it speaks: a closed number would be that of the data then.
WRITER = """
import subprocess, sys
from lesion.console.cli import in_project, parser, run
from lesion.console.progress import Progress

def main():
    with open(sys.argv[0] + ".data", "wb") as data:
        with Progress("writes", 1, "files") as progress:
            progress.update()
            progress.say("said")
        print("said")
        print("said", file=sys.stderr)
        sys.stdout.flush()
        subprocess.run(["echo", "said"], check=True)
        data.write(b"data")

if "--tool" in sys.argv:
    arguments = parser("Says.")
    arguments.add_argument("--tool", action="store_true")
    arguments.parse_args()
    with in_project():
        main()
else:
    run(main)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    path = tmp_path / "writer.py"
    path.write_text(f'"""Says."""{WRITER}')
    return path


def in_shell(writer: Path, redirections: str, *arguments: str) -> subprocess.CompletedProcess:
    line = f'exec "$0" "$@" {redirections}'
    path = {"PYTHONPATH": str(ROOT / "stages")}
    command = ["sh", "-c", line, sys.executable, writer, *arguments]
    return subprocess.run(command, env=environment() | path, capture_output=True, timeout=600)


@pytest.mark.parametrize("kind", [[], ["--tool"]], ids=["stage", "tool"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_where_output_is_closed_work_goes_on_and_nothing_is_printed_into_data(writer, closed, kind):
    done = in_shell(writer, closed, *kind)
    assert done.returncode == 0 and b"Error" not in done.stdout + done.stderr
    assert Path(f"{writer}.data").read_bytes() == b"data"


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@FULL
@pytest.mark.parametrize("options", [">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"])
def test_output_on_a_full_disk_ends_no_stage(writer, options):
    writer.write_text(writer.read_text().replace("subprocess.run", "list"))  # echo fails by itself
    writer.write_text(writer.read_text().replace(", check=True", ""))
    done = in_shell(writer, options)
    assert done.returncode == 0 and b"Error" not in done.stdout + done.stderr
    assert Path(f"{writer}.data").read_bytes() == b"data"


@FULL
def test_a_tool_whose_output_is_lost_on_a_full_disk_says_so_and_fails(writer):
    writer.write_text(writer.read_text().replace("subprocess.run", "list"))
    writer.write_text(writer.read_text().replace(", check=True", ""))
    done = in_shell(writer, ">/dev/full", "--tool")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"writer: standard output: No space left")


def test_a_pipe_that_does_not_wait_gets_everything(tmp_path):
    path = tmp_path / "fast.py"
    path.write_text(
        "import os\nfrom lesion.console.cli import parser\nparser('').parse_args()\n"
        "os.set_blocking(1, False)\nfor n in range(60000):\n    print(n)\n"
    )
    process = start([path])
    said, complained = process.communicate()
    assert process.returncode == 0, complained
    assert said.split() == [str(n).encode() for n in range(60000)]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("open('none/x')", "writer: none/x: No such file"),
        ("open('.')", "writer: .: Is a directory"),
        ("1 / 0", None),
        ("os.close(99)", None),
    ],
)
def test_files_that_fail_are_one_line_and_bugs_a_traceback(tmp_path, fault, said):
    path = tmp_path / "writer.py"
    path.write_text(
        f"import os\nfrom lesion.console.cli import in_project\nwith in_project():\n    {fault}\n"
    )
    process = start([path])
    _, complained = process.communicate()
    assert process.returncode == 1
    assert (b"Traceback" in complained) == (said is None)
    if said:
        assert complained.startswith(said.encode()) and complained.count(b"\n") == 1
