"""A headless Chromium, driven through a pipe by the DevTools protocol: how the tests see the HTML report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed() -> str | None:
    """The path of a Chromium or Chrome, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser without a window; a context manager that ends it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        """Start it with a profile in `folder`; width, height: of the page in pixels."""
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        # The protocol is spoken on descriptors 3 and 4 of the browser.
        command = f"exec 3<&{theirs} 4>&{answers}; exec {installed()} --headless=new --no-sandbox --disable-gpu"
        command += f" --disable-dev-shm-usage --remote-debugging-pipe --user-data-dir={folder} about:blank"
        self._process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(theirs, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(answers)
        self._buffer, self._number, self._session = b"", 0, None
        self.complaints: list[str] = []
        """Errors and warnings of the console, and exceptions that nobody caught."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        message |= {"sessionId": self._session} if self._session else {}
        self._write(json.dumps(message).encode())
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def open(self, address: str) -> None:
        """Load a page and wait until everything in it is there."""
        self.call("Page.navigate", url=address)
        while (message := self._read()).get("method") != "Page.loadEventFired":
            self._note(message)

    def run(self, script: str) -> Any:
        """The value of JavaScript in the page; of a promise, what it comes to."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def _note(self, message: dict[str, Any]) -> None:
        """Keep what the page complains of."""
        method, details = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(details["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and details["type"] in ("error", "assert"):
            self.complaints.append(str(details["args"]))
        elif method == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.complaints.append(details["entry"]["text"])

    def _write(self, data: bytes) -> None:
        data += b"\0"
        while data:
            data = data[os.write(self._out, data) :]

    def _read(self) -> dict[str, Any]:
        """The next message, which ends with a zero byte."""
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)
