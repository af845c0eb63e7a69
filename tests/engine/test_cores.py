"""The default number of threads: affinity and quotas, with made-up control groups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.engine import session as session_module
from minimeso.engine.cores import available_cores, cpu_quota

V1 = "5:memory:/m\n4:cpu,cpuacct:{}\n1:name=systemd:/s\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        # version 2
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "50000 100000"}, 0.5),
        # the strictest of the groups around ours
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
                "sys/fs/cgroup/a/cpu.max": "300000 100000",
                "sys/fs/cgroup/cpu.max": "400000 100000",
            },
            3.0,
        ),
        # a name that only the host knows
        ({"proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        # version 1
        (
            {
                "proc/self/cgroup": V1.format("/docker/1f"),
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": V1.format("/g") + "0::/g\n",
                "sys/fs/cgroup/cpu/g/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/g/cpu.cfs_period_us": "50000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": V1.format("/"),
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        # what nobody writes is no limit
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "many 0\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "1 2 3\n"}, None),
    ],
)
def test_quota(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    assert cpu_quota(write(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("quota", "cores"), [("max", 8), ("50000", 1), ("150000", 2), ("300000", 3), ("1600000", 8)]
)
def test_cores_are_the_least_of_affinity_and_quota(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"}
    assert available_cores(write(tmp_path, files)) == cores


def test_without_affinity_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == 1


def test_a_session_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "available_cores", lambda: 3)
    assert Session("default").threads == 3
    of_numpy: Any = np.int64(2)
    session = Session("default", threads=of_numpy)
    assert session.threads == 2 and type(session.threads) is int
