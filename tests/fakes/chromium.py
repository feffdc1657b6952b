"""A real headless Chromium, driven through DevTools over a pipe: no driver, no further package.

with Chromium(folder) as browser:
    tab = browser.open("http://127.0.0.1:3030/status", width=390, dark=True)
    tab.text("body"), tab.shot(path), tab.complaints
"""

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

_SECONDS = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it is root in a container; it opens pages of ours only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)


def need() -> str:
    """Return Chromium's path, or skip the test."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: `make status` installs Debian's (a minute, as root)")
    return found


class Chromium:
    """A browser process. It ends with the block."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        orders, ours = os.pipe()
        theirs, replies = os.pipe()
        command = [need(), *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(  # DevTools reads descriptor 3 and writes descriptor 4
                ["bash", "-c", f'exec "$@" 3<&{orders} 4>&{replies}', "bash", *command],
                pass_fds=(orders, replies),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(orders), os.close(replies)
        self._orders = os.fdopen(ours, "wb", buffering=0)
        self._number = 0
        self._lock = threading.Lock()
        self._replies: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}
        self._reader = threading.Thread(target=self._read, args=(theirs,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, AssertionError):
            self.ask("Browser.close")
        self._orders.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> "Tab":
        """Open a page in a tab of its own, of this size in CSS pixels; a narrow one is a phone's."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        tab.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.ask("Emulation.setEmulatedMedia", features=[scheme])
        tab.ask("Page.navigate", url=url)
        assert tab.loaded.wait(_SECONDS), f"{url} does not load"
        return tab

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a DevTools method and return its result."""
        with self._lock:
            self._number += 1
            number = self._number
            reply = self._replies[number] = queue.Queue()
            order = {"id": number, "method": method, "params": params}
            self._orders.write(
                json.dumps(order | ({"sessionId": session} if session else {})).encode() + b"\0"
            )
        try:
            told = reply.get(timeout=_SECONDS)
        except queue.Empty:
            raise AssertionError(f"Chromium does not answer {method}") from None
        assert "error" not in told, f"{method}: {told}"
        return told["result"]

    def _read(self, descriptor: int) -> None:
        rest = b""
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                *messages, rest = (rest + data).split(b"\0")
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._replies.pop(message["id"]).put(message)
                    elif tab := self._tabs.get(message.get("sessionId", "")):
                        tab.hear(message["method"], message["params"])


@dataclass
class Tab:
    """A page. complaints: errors and warnings of its console, refused resources included. asked: its URLs."""

    browser: Chromium
    session: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    loaded: threading.Event = field(default_factory=threading.Event)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a DevTools method for this page."""
        return self.browser.ask(method, self.session, **params)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """Return what a person can read in an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def shot(self, path: Path) -> None:
        """Save a picture of the whole page."""
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take in what the page tells."""
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(params["entry"]["text"])
