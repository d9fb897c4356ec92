"""The machine that figures are of."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Cores, processor and interpreter."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"
