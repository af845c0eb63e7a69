"""Makes the command one file that needs no Python: `python -m tools.program minimeso-linux`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import minimeso
from tools.errors import ToolError, exit_status

#: What the command asks for only where it is installed, and what nobody wants in one file.
LEFT_OUT = (
    *("scipy", "dask", "distributed", "bokeh", "pyarrow", "fsspec"),
    *("torch", "onnx", "h5py", "matplotlib", "pandas", "sklearn", "IPython"),
)
ENTRY = "import sys\n\nfrom minimeso.__main__ import run\n\nsys.exit(run())\n"


def make_program(output: Path) -> None:
    """Make the command one executable file for this system, with PyInstaller.

    Raises:
        ToolError: PyInstaller is missing or fails.
    """
    hooks = Path(minimeso.__file__).parent / "_pyinstaller"
    with tempfile.TemporaryDirectory() as folder:
        entry = Path(folder, "minimeso_command.py")
        entry.write_text(ENTRY)
        excluded = [word for name in LEFT_OUT for word in ("--exclude-module", name)]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "PyInstaller", "--onefile", "--noconfirm"),
                *("--name", "program", *excluded, "--collect-data", "minimeso"),
                *("--additional-hooks-dir", str(hooks), str(entry)),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            if "No module named PyInstaller" in done.stderr:
                raise ToolError("no PyInstaller here: pip install pyinstaller")
            raise ToolError(f"PyInstaller failed:\n{done.stderr[-3000:]}")
        made = next(Path(folder, "dist").iterdir())
        output.write_bytes(made.read_bytes())
        output.chmod(0o755)
    print(f"{output}: {output.stat().st_size / 2**20:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.program",
        description="Make the command one file that runs without Python, with what is installed "
        "here (`av` for clips, `pillow_heif` for photos of phones); `scan`, and what `convert` "
        "reads by other packages, are left out.",
    )
    parser.add_argument("output", type=Path, help="the program to write")
    options = parser.parse_args(arguments)
    return exit_status("program", lambda: make_program(options.output))


if __name__ == "__main__":
    sys.exit(main())
