"""What a benchmark has to say about the computer it ran on, and about the package.

`fma_peak` measures how many multiply-adds the cores can do at best, with a small C program that is
compiled when needed; `footprint` is cold start, peak memory and installed size of the package.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minimeso
from tools.compiler import c_compiler

#: Load average beyond which figures are called doubtful.
BUSY = 0.3

PACKAGE = Path(minimeso.__file__).resolve().parent
PICTURE = PACKAGE / "samples" / "portrait.jpg"

# Twelve chains of dependent multiply-adds hide a latency of up to six cycles on two units; with 256
# and 512 bits (where the compiler has them), as some CPUs are slower with the wider ones.
PEAK_SOURCE = """
#define _POSIX_C_SOURCE 199309L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

#define STEP(a) a = a * m + c;
#define CHAINS(name, bytes)                                                        \\
    typedef float vec_##name __attribute__((vector_size(bytes)));                  \\
    static double name(long n) {                                                   \\
        vec_##name m = {0}, c = {0}, a0 = {1}, a1 = {2}, a2 = {3}, a3 = {4};       \\
        vec_##name a4 = {5}, a5 = {6}, a6 = {7}, a7 = {8}, a8 = {9}, a9 = {10};    \\
        vec_##name a10 = {11}, a11 = {12};                                         \\
        m += 0.999f;                                                               \\
        c += 0.001f;                                                               \\
        __asm__ volatile("" : "+m"(m), "+m"(c));                                   \\
        double start = now();                                                      \\
        for (long i = 0; i < n; i++) {                                             \\
            STEP(a0) STEP(a1) STEP(a2) STEP(a3) STEP(a4) STEP(a5)                  \\
            STEP(a6) STEP(a7) STEP(a8) STEP(a9) STEP(a10) STEP(a11)                \\
        }                                                                          \\
        double seconds = now() - start;                                            \\
        a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;              \\
        __asm__ volatile("" : : "m"(a0));                                          \\
        return 12.0 * (bytes / 4) * n / seconds;                                   \\
    }

#if defined(__AVX512F__)
CHAINS(wide, 64)
#endif
#if defined(__AVX__)
CHAINS(narrow, 32)
#else
CHAINS(narrow, 16)
#endif

static void *best(void *result) {
    double most = 0;
    for (int i = 0; i < 20; i++) {
        double rate = narrow(1000000);
        if (rate > most) most = rate;
#if defined(__AVX512F__)
        rate = wide(1000000);
        if (rate > most) most = rate;
#endif
    }
    *(double *)result = most;
    return 0;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    pthread_t ids[256];
    double rates[256], sum = 0;
    if (threads < 1 || threads > 256) return 1;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], 0, best, &rates[i])) return 1;
    for (int i = 0; i < threads; i++) pthread_join(ids[i], 0), sum += rates[i];
    printf("%.6g\\n", sum);
    return 0;
}
"""
PEAK_FLAGS = ("-O2", "-march=native", "-ffp-contract=fast", "-pthread")


@dataclass(frozen=True)
class Peak:
    """Multiply-adds a second of all threads together, and how they were measured."""

    rate: float
    how: str


class PeakMeter:
    """Measures the peak again and again; the program is compiled once."""

    def __init__(self, folder: Path) -> None:
        self._program: Path | None = folder / "peak"
        source = folder / "peak.c"
        source.write_text(PEAK_SOURCE)
        command = [*c_compiler(), *PEAK_FLAGS, str(source), "-o", str(self._program)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self._program = None

    def measure(self, threads: int, cores: list[int]) -> Peak:
        """The best that so many threads on these cores did just now."""
        if self._program is None:
            return _product_rate(threads)
        command = [str(self._program), str(threads)]
        if cores and (pin := shutil.which("taskset")):
            command = [pin, "-c", ",".join(map(str, cores)), *command]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return Peak(float(done.stdout), "chains of multiply-adds, compiled C")


def _product_rate(threads: int) -> Peak:
    """Without a compiler: NumPy's matrix product, which comes close, times the threads."""
    size = 768
    a = np.random.default_rng(0).random((size, size), np.float32)
    best = min(_seconds(lambda: a @ a) for _ in range(20))
    return Peak(size**3 / best * threads, "NumPy's matrix product (no C compiler): a stand-in")


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def cpu_model() -> str:
    """As the maker calls it, with family and model where Linux says so."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", text.split("\n\n")[0], re.MULTILINE))
    name = fields.get("model name") or platform.machine()
    if "cpu family" in fields and "model" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return str(name)


def compiler() -> str:
    """What built our engine, as it says itself."""
    for library in sorted((PACKAGE / "engine").glob("_cffi*")):
        found = re.search(rb"(GCC: \(|clang version )[ -~]+", library.read_bytes())
        if found:
            return found[0].decode()
    return "unknown"


def describe(name: str | None) -> dict[str, Any]:
    """The computer, for a report; `name` is what people call it."""
    from minimeso.engine.native import available_isas

    return {
        "name": name or cpu_model(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "isas": available_isas(),
        "system": f"{platform.system()} {platform.machine()}",
        "compiler": compiler(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "minimeso": minimeso.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


# --- cold start, memory, size ----------------------------------------------------------------

#: Prints the most memory the process ever used, in bytes. VmHWM, not ru_maxrss: the latter still
#: counts the parent from before exec.
REPORT_MEMORY = """
try:
    lines = open("/proc/self/status").read().splitlines()
    print(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")))
except OSError:
    import resource, sys
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""  # noqa: E501
#: As `minimeso detect`.
_JUDGE = """
import sys
from minimeso.__main__ import run
sys.argv[1:] = ["detect", *sys.argv[1:]]
run()
"""
_DECODE = """
import sys
import numpy
from PIL import Image
numpy.asarray(Image.open(sys.argv[1]).convert("RGB"))
"""
_DECODING = "decode one picture"
#: What processes do, each with its script and its arguments.
_PROCESSES = {
    "judge one picture": (_JUDGE, str(PICTURE)),
    "judge one with --fast": (_JUDGE, str(PICTURE), "--fast"),
    _DECODING: (_DECODE, str(PICTURE)),
    "minimeso --help": ("from minimeso.cli import main; main(['--help'])",),
    "nothing": ("pass",),
}


def footprint(rounds: int = 25) -> dict[str, Any]:
    """Cold starts (in turns with a process that only decodes the picture), memory, size."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode

    def run(script: str, *arguments: str) -> str:
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(
            command,
            env=environment,
            cwd=PACKAGE.parent,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout

    memory = {
        name: int(run(script + REPORT_MEMORY, *arguments).splitlines()[-1])
        for name, (script, *arguments) in _PROCESSES.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in _PROCESSES}
    for turn in range(rounds):
        for name in sorted(_PROCESSES, reverse=turn % 2 == 1):
            seconds[name].append(_seconds(partial(run, *_PROCESSES[name])))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    files = [path for path in PACKAGE.rglob("*") if path.is_file()]
    installed = sum(p.stat().st_size for p in files if p.suffix != ".pyc")
    return {
        "milliseconds": {name: 1e3 * value for name, value in medians.items()},
        "over_decoding": {name: value / medians[_DECODING] for name, value in medians.items()},
        "peak_memory_bytes": memory,
        "installed_bytes": installed,
        "bytecode_bytes": sum(p.stat().st_size for p in files) - installed,
    }
