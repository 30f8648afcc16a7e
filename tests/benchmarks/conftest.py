"""Benchmarks find their helper module beside them, and are never run by the suite."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
