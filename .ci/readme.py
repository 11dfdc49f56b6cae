"""Runs the README as a newcomer does: the serve command, then every call, comparing what each prints.

``python3 .ci/readme.py test`` prints the test command, ``walk`` serves and calls.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

README = Path("README.md").read_text(encoding="utf-8")
READY_SECONDS = 120


def blocks(name: str) -> list[tuple[str, str]]:
    """Return the README's shell blocks of one name, each with the text block that follows it."""
    pattern = rf"^```sh {name}\n(.*?)^```\n(?:```text\n(.*?)^```)?"
    return re.findall(pattern, README, re.MULTILINE | re.DOTALL)


def wait_until_ready() -> None:
    """Poll the gateway until it answers."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the gateway of the README did not become ready")


def walk() -> None:
    """Serve, call, compare, stop."""
    [(serve, _)] = blocks("serve")
    gateway = subprocess.Popen(["bash", "-c", serve], stdout=subprocess.DEVNULL, start_new_session=True)
    failed = False
    try:
        wait_until_ready()
        calls = blocks("call")
        # one shell for all calls, as a reader has one terminal: variables live on
        script = "\n".join(f"{call}printf '\\036'" for call, _ in calls)
        printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
        for (call, expected), found in zip(calls, printed.split("\x1e"), strict=False):
            if found != expected:
                failed = True
                print(f"README differs.\n$ {call}expected:\n{expected}\nprinted:\n{found}")
        print(f"{len(calls)} blocks of calls ran")
    finally:
        os.killpg(gateway.pid, signal.SIGTERM)
        code = gateway.wait(timeout=40)
    if failed or code not in (0, 143, -signal.SIGTERM):
        sys.exit(f"the README's walk failed (gateway exit code {code})")


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        print(blocks("test")[0][0])
    else:
        walk()
