"""Many mutated certificates and configurations: `make fuzz`. Prints the seed that brings them back."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import certificates, chamber

_TREE = Path(__file__).parents[2]


def configurations(
    kind: str, seed: str, count: int, patience: float = 3600
) -> subprocess.CompletedProcess[str]:
    """Damaged configurations of one kind, in a process of its own; fails when one goes wrong."""
    command = [sys.executable, "-m", "tests.fuzz.chamber", kind, "--seed", seed, "--count", str(count)]
    env = {**os.environ, "PYTHONPATH": f"{_TREE}:{_TREE}/playbooks/collections"}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=patience, env=env, cwd=_TREE
    )


def main() -> None:
    """Runs all, two kinds at a time, and fails when anything goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument("--configurations", type=int, default=50_000, help="of all kinds together")
    parser.add_argument("--seed", default=None)
    wish = parser.parse_args()
    seed = wish.seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    kinds = chamber.kinds()
    each = -(-wish.configurations // len(kinds))
    failed = False
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda kind: configurations(kind, seed, each), kinds):
            print(done.stdout + done.stderr, end="", flush=True)
            failed = failed or done.returncode != 0
    failed = bool(certificates.fuzz(seed, range(wish.certificates))) or failed
    print(f"{each * len(kinds)} configurations, {wish.certificates} certificates, seed {seed}: ", end="")
    print("something went wrong" if failed else f"nothing went wrong in {time.monotonic() - began:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
