"""A real browser: Chromium without a window, spoken to by its DevTools protocol over two pipes."""

import base64
import json
import os
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_SECONDS = 60.0


class Browser:
    """One page.

    Args:
        profile: a folder of its own.

    Attributes:
        complaints: texts of the console, exceptions, and what the page's policy refused.
        requests: addresses that were asked for.
    """

    def __init__(self, profile):
        self.complaints, self.requests = [], []
        self._events = []
        self._number = 0
        self._unread = b""
        theirs, self._to = os.pipe()
        self._from, to_us = os.pipe()
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{theirs} 4>&{to_us}', "bash", CHROMIUM),
                *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
                *("--hide-scrollbars", f"--user-data-dir={profile}", "--no-first-run"),
            ],
            pass_fds=(theirs, to_us),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(to_us)
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self._process.terminate()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, **parameters):
        """Return what a method of the protocol returns."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, path):
        """Open a file; return the seconds until its figures stand there."""
        began = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self.run("document.documentElement?.dataset.drawn === 'yes'"):
            assert time.monotonic() - began < _SECONDS, self.complaints
            time.sleep(0.01)
        # The frame after next is drawn, then.
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return time.monotonic() - began

    def run(self, script):
        """Return the value of an expression in the page."""
        parameters = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=script, **parameters)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key, code, number, text=None):
        """Press a key, which writes a text or none, and let it go."""
        pressed = {"type": "rawKeyDown"} if text is None else {"type": "keyDown", "text": text}
        for event in (pressed, {"type": "keyUp"}):
            keys = {"key": key, "code": code, "windowsVirtualKeyCode": number}
            self.call("Input.dispatchKeyEvent", **event, **keys)

    def emulate(self, media="", scheme="light"):
        """Let the page be on paper (`print`), or in the dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def resize(self, width, height):
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **sizes)

    def screenshot(self, path):
        """Keep a picture of all of the page."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path):
        """Print the page."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF")["data"]))

    def _read(self):
        while b"\0" not in self._unread:
            part = os.read(self._from, 1 << 16)
            assert part, "the browser is gone"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        answer = json.loads(message)
        self._take(answer.get("method"), answer.get("params", {}))
        return answer

    def _take(self, method, event):
        if method == "Runtime.consoleAPICalled":
            texts = [str(a.get("value", a.get("description"))) for a in event["args"]]
            self.complaints.append(" ".join(texts))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(event["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
