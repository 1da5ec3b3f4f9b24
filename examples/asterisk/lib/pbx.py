"""AMI and ARI clients for the scenarios (standard library only)."""
import asyncio, base64, json, os, secrets, struct, time, urllib.parse, urllib.request

AMI_PORT = int(os.environ.get("ASTERISK_LAB_AMI_PORT", 5038))
HTTP_PORT = int(os.environ.get("ASTERISK_LAB_HTTP_PORT", 8088))
USER = "lab"


class News:
    """A list that one can wait on: for the first item that fits, whether it is there already or comes later."""

    def __init__(self):
        self.items = []
        self._news = asyncio.Event()

    def add(self, item):
        self.items.append(item)
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self, fits, timeout=15, start=0):
        async def search():
            i = start
            while True:
                news = self._news
                for i in range(i, len(self.items)):
                    if fits(self.items[i]):
                        return self.items[i]
                i = len(self.items)
                await news.wait()
        return await asyncio.wait_for(search(), timeout)


class AMI:
    """One AMI connection. raw is every byte that Asterisk sent, so that it can be replayed as it was; messages are
    the same, read."""

    def __init__(self):
        self.raw = bytearray()
        self.messages = News()
        self.sent = []           # the actions, without the login
        self._n = 0

    async def connect(self, user=USER, events="on"):
        self.r, self.w = await asyncio.open_connection("127.0.0.1", AMI_PORT)
        self.over = asyncio.create_task(self._read())
        ok = await self.action("Login", log=False, Username=user, Secret=user + "-secret", Events=events)
        if ok.get("Response") != "Success":
            raise RuntimeError("AMI login refused: %r" % ok)
        return self

    async def _read(self):
        rest, greeted = b"", False
        while True:
            try:
                data = await self.r.read(65536)
            except ConnectionError:
                return
            if not data:
                return
            self.raw += data
            rest += data
            if not greeted and b"\r\n" in rest:
                rest, greeted = rest.split(b"\r\n", 1)[1], True
            while b"\r\n\r\n" in rest:
                block, rest = rest.split(b"\r\n\r\n", 1)
                message = {}
                for line in block.decode("utf-8", "replace").split("\r\n"):
                    k, _, v = line.partition(":")
                    message.setdefault(k, v.lstrip(" "))      # of repeated names the first counts
                self.messages.add(message)

    async def action(self, name, log=True, timeout=10, **fields):
        """Sends an action and returns its response, not the events that follow it. A field may be a list."""
        self._n += 1
        aid = "lab-%d" % self._n
        lines = ["Action: " + name, "ActionID: " + aid]
        for k, v in fields.items():
            lines += ["%s: %s" % (k, x) for x in (v if isinstance(v, list) else [v])]
        if log:
            self.sent.append({"at": round(time.time(), 3), "action": name, "ActionID": aid, **fields})
        start = len(self.messages.items)
        self.w.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self.w.drain()
        return await self.messages.wait(lambda m: "Response" in m and m.get("ActionID") == aid, timeout, start)

    async def event(self, name, timeout=15, start=0, **want):
        return await self.messages.wait(
            lambda m: m.get("Event") == name and all(m.get(k) == v for k, v in want.items()), timeout, start)

    def close(self):
        self.over.cancel()
        self.w.close()


class ARI:
    """The websocket of an ARI app: without one, Asterisk does not know the app."""

    def __init__(self, app="lab"):
        self.app, self.events = app, News()

    async def connect(self):
        self.r, self.w = await asyncio.open_connection("127.0.0.1", HTTP_PORT)
        self.w.write(("GET /ari/events?%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nAuthorization: %s\r\n\r\n"
                      % (urllib.parse.urlencode({"app": self.app}), base64.b64encode(secrets.token_bytes(16)).decode(),
                         _authorization())).encode())
        head = await self.r.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise RuntimeError("ARI refused: %r" % head[:200])
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self):
        text = b""
        while True:
            b0, b1 = await self.r.readexactly(2)
            size = b1 & 127
            if size == 126:
                size, = struct.unpack(">H", await self.r.readexactly(2))
            elif size == 127:
                size, = struct.unpack(">Q", await self.r.readexactly(8))
            data = await self.r.readexactly(size)
            op = b0 & 15
            if op == 9:                                    # ping -> pong, masked as a client must
                self.w.write(bytes([0x8A, 0x80 | len(data)]) + b"\0\0\0\0" + data)
            elif op in (0, 1):
                text += data
                if b0 & 128:
                    self.events.add(json.loads(text.decode("utf-8", "replace")))
                    text = b""
            elif op == 8:
                return self.w.close()

    async def close(self):
        """Says goodbye and waits for the answer: otherwise Asterisk may take the next connection of the same app for
        the old one's, and drop the app when it notices the old one's end."""
        self.w.write(bytes([0x88, 0x82]) + b"\0\0\0\0" + struct.pack(">H", 1000))
        try:
            await asyncio.wait_for(self._task, 3)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass
        self.w.close()


def _authorization():
    return "Basic " + base64.b64encode(("%s:%s-secret" % (USER, USER)).encode()).decode()


def _http(method, path, params, body):
    url = "http://127.0.0.1:%d/ari%s" % (HTTP_PORT, path)
    if params:
        url += "?" + urllib.parse.urlencode(params)
    data = json.dumps(body).encode() if body is not None else None
    req = urllib.request.Request(url, data=data, method=method, headers={"Authorization": _authorization()})
    if data:
        req.add_header("Content-Type", "application/json")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(req, timeout=10) as r:
        text = r.read().decode()
        return json.loads(text) if text else None


async def ari(method, path, params=None, body=None):
    """One ARI request."""
    return await asyncio.get_running_loop().run_in_executor(None, _http, method, path, params, body)
