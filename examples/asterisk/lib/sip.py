"""A small SIP phone (UDP, standard library only).

It holds several dialogs at once and does what it is told when it is told: call waiting, transfers and
pick-up need that. Every moment that a person at the phone would notice (it rings, stops ringing, is
answered, is over) is told to Phone.tell, as it happens and independent of what the PBX reports.
"""
import asyncio, hashlib, itertools, math, os, random, re, struct, time

SIP_PORT = int(os.environ.get("ASTERISK_LAB_SIP_PORT", 5060))
TRUNK_PORT = int(os.environ.get("ASTERISK_LAB_TRUNK_PORT", 5090))
PBX = ("127.0.0.1", SIP_PORT)


_numbers = itertools.count(1)


def _tag():
    return "%08x" % random.getrandbits(32)


def _ulaw(x):
    s = 0x80 if x < 0 else 0
    x = min(abs(x), 32635) + 132
    e = max(0, x.bit_length() - 8)
    return ~(s | e << 4 | (x >> (e + 3)) & 15) & 255


_TONE = bytes(_ulaw(int(6000 * math.sin(2 * math.pi * 400 * i / 8000))) for i in range(160))


class Msg:
    def __init__(self, data):
        head, _, self.body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        lines = head.split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            k, _, v = line.partition(":")
            self.headers.append((k.strip().lower(), v.strip()))
        p = self.start.split(" ", 2)
        self.code = int(p[1]) if p[0] == "SIP/2.0" else 0
        self.method = self.get("cseq").split()[1] if self.code else p[0]

    def get(self, name, default=""):
        for k, v in self.headers:
            if k == name:
                return v
        return default

    def all(self, name):
        return [v for k, v in self.headers if k == name]

    @property
    def branch(self):
        m = re.search(r"branch=([^;,\s]+)", self.get("via"))
        return m.group(1) if m else ""

    def tag(self, name):
        m = re.search(r";tag=([^;>\s]+)", self.get(name))
        return m.group(1) if m else ""

    def uri(self, name):
        m = re.search(r"<([^>]+)>", self.get(name)) or re.search(r"(sips?:[^;\s]+)", self.get(name))
        return m.group(1) if m else ""

    def number(self, name):
        m = re.search(r"sips?:([^@;>]+)@", self.get(name))
        return m.group(1) if m else ""


class Phone(asyncio.DatagramProtocol):
    """auto says what the phone does with a call: 'ring', 'busy', 'silent', 'answer' or '302:NUMBER'.
    tell is called as tell(phone, call, what) with what one of 'incoming', 'ringing', 'up', 'shown', 'ended'."""

    def __init__(self, name, ip, port=0, password=None, tell=None, log=None):
        self.name, self.ip, self.port, self.password = name, ip, port, password
        self.tell = tell or (lambda phone, call, what: None)
        self.log = log or (lambda phone, way, text: None)
        self.auto = "ring"
        self.obeys = True             # picks up, holds and takes back when a header of the INVITE or a NOTIFY says so
        self.calls = []
        self._tx, self._done = {}, {}

    # -- transport
    async def start(self):
        loop = asyncio.get_running_loop()
        self.t, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self.ip, self.port))
        self.port = self.t.get_extra_info("sockname")[1]
        return self

    def stop(self):
        for c in self.calls:
            c._stop_rtp()
        self.t.close()

    def _note(self, way, text):
        self.log(self, way, text)

    def send(self, text, note=None):
        self._note("out", note or text.split("\r\n", 1)[0])
        self.t.sendto(text.encode(), PBX)

    def _via(self, branch):
        return "Via: SIP/2.0/UDP %s:%d;rport;branch=%s" % (self.ip, self.port, branch)

    def contact(self):
        return "<sip:%s@%s:%d>" % (self.name, self.ip, self.port)

    def respond(self, req, code, text, to_tag="", extra=(), body="", note=None):
        lines = ["SIP/2.0 %d %s" % (code, text)] + ["Via: " + v for v in req.all("via")]
        to = req.get("to")
        if to_tag and ";tag=" not in to:
            to += ";tag=" + to_tag
        lines += ["From: " + req.get("from"), "To: " + to, "Call-ID: " + req.get("call-id"), "CSeq: " + req.get("cseq")]
        lines += list(extra)
        if body:
            lines.append("Content-Type: application/sdp")
        lines += ["Content-Length: %d" % len(body), "", body]
        out = "\r\n".join(lines)
        self._done[(req.branch, req.method)] = out
        self.send(out, "%d %s (%s)%s" % (code, text, req.method, " " + note if note else ""))

    def request(self, method, uri, frm, to, call_id, cseq, extra=(), body="", ctype="application/sdp", branch=None):
        """Sends a request; returns a queue its responses arrive in."""
        branch = branch or "z9hG4bK" + _tag()
        lines = ["%s %s SIP/2.0" % (method, uri), self._via(branch), "Max-Forwards: 70", "From: " + frm, "To: " + to,
                 "Call-ID: " + call_id, "CSeq: %d %s" % (cseq, method if method != "ACK" else "ACK"),
                 "Contact: " + self.contact(), "User-Agent: ringcast-lab"] + list(extra)
        if body:
            lines.append("Content-Type: " + ctype)
        lines += ["Content-Length: %d" % len(body), "", body]
        q = None
        if method != "ACK":
            q = self._tx[branch] = asyncio.Queue()
            q.branch = branch
        self.send("\r\n".join(lines))
        return q

    async def final(self, q, timeout=10):
        while True:
            m = await asyncio.wait_for(q.get(), timeout)
            if m.code >= 200:
                return m

    def auth(self, resp, method, uri):
        ch = resp.get("www-authenticate") or resp.get("proxy-authenticate")
        name = "Authorization" if resp.code == 401 else "Proxy-Authorization"
        f = dict(re.findall(r'(\w+)="?([^",]+)"?', ch))
        md5 = lambda s: hashlib.md5(s.encode()).hexdigest()
        cn, nc = _tag(), "00000001"
        ha1 = md5("%s:%s:%s" % (self.name, f["realm"], self.password))
        ha2 = md5("%s:%s" % (method, uri))
        if "qop" in f:
            r = md5(":".join((ha1, f["nonce"], nc, cn, "auth", ha2)))
            tail = ', qop=auth, nc=%s, cnonce="%s"' % (nc, cn)
        else:
            r, tail = md5(":".join((ha1, f["nonce"], ha2))), ""
        op = ', opaque="%s"' % f["opaque"] if "opaque" in f else ""
        return '%s: Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=MD5%s%s' % (
            name, self.name, f["realm"], f["nonce"], uri, r, op, tail)

    async def register(self, expires=3600):
        uri = "sip:%s:%d" % PBX
        me = "<sip:%s@%s>" % (self.name, PBX[0])
        cid, extra = _tag() + "@" + self.ip, ["Expires: %d" % expires]
        for n in (1, 2):
            r = await self.final(self.request("REGISTER", uri, me + ";tag=" + _tag(), me, cid, n, extra))
            if r.code == 401 and n == 1:
                extra.append(self.auth(r, "REGISTER", uri))
            else:
                break
        if r.code != 200:
            raise RuntimeError("%s: REGISTER got %s" % (self.name, r.start))

    def datagram_received(self, data, addr):
        if len(data) < 8:
            return
        m = Msg(data)
        if m.code:
            self._note("in", "%s (%s)" % (m.start[8:], m.method))
            q = self._tx.get(m.branch)
            if q:
                q.put_nowait(m)
            return
        if (m.branch, m.method) in self._done and m.method != "ACK":      # sent again: answer again
            self.t.sendto(self._done[(m.branch, m.method)].encode(), PBX)
            return
        reason = m.get("reason")
        pai = m.get("p-asserted-identity")
        self._note("in", m.start.rsplit(" ", 1)[0] + ("  Reason: " + reason if reason else "") +
                   ("  PAI: " + pai if pai else ""))
        for c in self.calls:
            if c.call_id == m.get("call-id"):
                return c._request(m)
        if m.method == "INVITE":
            c = Call(self, "in")
            self.calls.append(c)
            c._incoming(m)
        elif m.method in ("OPTIONS", "NOTIFY"):
            self.respond(m, 200, "OK", _tag())
            live = [c for c in self.calls if not c.t_end]
            if m.method == "NOTIFY" and live:
                live[-1].obey(m.get("event"))
        elif m.method != "ACK":
            self.respond(m, 481, "No such call", _tag())

    # -- what a person does
    async def dial(self, number, caller=None, name=None):
        c = Call(self, "out")
        self.calls.append(c)
        await c._dial(number, caller or self.name, name)
        return c


class Call:
    def __init__(self, phone, way):
        self.phone, self.way = phone, way
        self.number = next(_numbers)
        self.local_tag, self.remote_tag = _tag(), ""
        self.cseq = 1
        self.state = "new"
        self.t_invite = self.t_ring = self.t_answer = self.t_end = None
        self.end = None               # (by, how, detail): by is 'me' or 'them'
        self.caller = self.caller_name = self.dialled = ""
        self.shown = []               # caller IDs shown over time: (at, text)
        self.refer_result = None
        self._cond = asyncio.Event()
        self._offering = asyncio.Lock()
        self._ver, self._mode = 1, "sendrecv"
        self._rtp = self._rtp_task = self._peer = None
        self.heard = 0                # packets of sound
        self._ack = False

    def _set(self, state):
        self.state = state
        self._cond.set()
        self._cond = asyncio.Event()

    async def until(self, what, timeout=20):
        """Waits for 'ringing', 'up', 'ended' or a function that says yes."""
        test = what if callable(what) else {
            "ringing": lambda: self.t_ring or self.t_answer or self.t_end,
            "up": lambda: self.t_answer, "ended": lambda: self.t_end}[what]
        end = time.monotonic() + timeout
        while not test():
            c = self._cond
            try:
                await asyncio.wait_for(c.wait(), max(0.01, end - time.monotonic()))
            except asyncio.TimeoutError:
                raise TimeoutError("%s: call never got %s (state %s, end %s)" % (self.phone.name, what, self.state, self.end))
            if what == "up" and self.t_end and not self.t_answer:
                raise RuntimeError("%s: call ended before an answer: %s" % (self.phone.name, self.end))
        return self

    def _over(self, by, how, detail=""):
        if self.t_end is None:
            self.t_end = time.time()
            self.end = (by, how, detail)
            self._stop_rtp()
            self._set("ended")
            self.phone.tell(self.phone, self, "ended")

    # -- media
    def _sdp(self):
        if self._rtp is None:
            import socket
            self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._rtp.bind((self.phone.ip, 0))
            self._rtp.setblocking(False)
        self._ver += 1
        return "\r\n".join(["v=0", "o=- 1 %d IN IP4 %s" % (self._ver, self.phone.ip), "s=-", "c=IN IP4 " + self.phone.ip,
                            "t=0 0", "m=audio %d RTP/AVP 0" % self._rtp.getsockname()[1], "a=rtpmap:0 PCMU/8000",
                            "a=" + self._mode, ""])

    def _media(self, m):
        ip, port = re.search(r"c=IN IP4 (\S+)", m.body), re.search(r"m=audio (\d+)", m.body)
        if ip and port:
            self._peer = (ip.group(1), int(port.group(1)))
        if self._rtp_task is None and self.t_answer and self._peer:
            self._rtp_task = asyncio.create_task(self._talk())

    async def _talk(self):
        seq, ts, ssrc, t = random.getrandbits(15), 0, random.getrandbits(32), time.monotonic()
        while True:
            if self._mode == "sendrecv":
                try:
                    self._rtp.sendto(struct.pack(">BBHII", 0x80, 0, seq & 65535, ts, ssrc) + _TONE, self._peer)
                    while self._rtp.recv(2048):
                        self.heard += 1
                except OSError:
                    pass
            seq, ts, t = seq + 1, (ts + 160) & 0xFFFFFFFF, t + 0.02
            await asyncio.sleep(max(0, t - time.monotonic()))

    def _stop_rtp(self):
        if self._rtp_task:
            self._rtp_task.cancel()
        if self._rtp:
            self._rtp.close()
        self._rtp = self._rtp_task = None

    # -- calls that we make
    async def _dial(self, number, caller, name):
        p = self.phone
        self.call_id, self.dialled = _tag() + "@" + p.ip, number
        self.uri = "sip:%s@%s:%d" % (number, *PBX)
        self.local = '%s<sip:%s@%s>;tag=%s' % ('"%s" ' % name if name else "", caller, p.ip, self.local_tag)
        self.remote = "<%s>" % self.uri
        self.t_invite = time.time()
        self._invite = p.request("INVITE", self.uri, self.local, self.remote, self.call_id, self.cseq, body=self._sdp())
        self._set("calling")
        asyncio.create_task(self._follow(self._invite, self.uri))

    def _send_ack(self, m, ok):
        self.phone.request("ACK", self.uri, self.local, m.get("to"), self.call_id, int(m.get("cseq").split()[0]),
                           branch=None if ok else m.branch)

    async def _follow(self, q, uri):
        p = self.phone
        while True:
            m = await q.get()
            if m.code == 180 or m.code == 183:
                self.remote_tag = m.tag("to")
                self._ringing()
            elif m.code in (401, 407) and self.cseq == 1:
                self._send_ack(m, False)
                self.cseq += 1
                q = self._invite = p.request("INVITE", uri, self.local, self.remote, self.call_id, self.cseq,
                                             [p.auth(m, "INVITE", uri)], self._sdp())
            elif 200 <= m.code < 300:
                if m.uri("contact"):
                    self.uri = m.uri("contact")
                self._send_ack(m, True)
                if self.t_answer is None:
                    self.t_answer = time.time()
                    self.remote_tag, self.remote = m.tag("to"), m.get("to")
                    self._media(m)
                    self._up()
            elif m.code >= 300:
                self._send_ack(m, False)
                if self.state != "cancelling":
                    self._over("them", "reject", m.start[8:] + ("; " + m.get("reason") if m.get("reason") else ""))
                else:
                    self._over("me", "cancel")
                return

    async def cancel(self):
        self._set("cancelling")
        p = self.phone
        # a CANCEL carries the branch of its INVITE
        lines = ["CANCEL %s SIP/2.0" % self.uri, p._via(self._invite.branch), "Max-Forwards: 70", "From: " + self.local,
                 "To: " + self.remote, "Call-ID: " + self.call_id, "CSeq: %d CANCEL" % self.cseq, "Content-Length: 0", "", ""]
        self.t_hangup = time.time()
        p.send("\r\n".join(lines))
        await self.until("ended")

    # -- calls that come in
    def _incoming(self, m):
        p = self.phone
        self.req, self.call_id, self.t_invite = m, m.get("call-id"), time.time()
        self.remote_tag, self.remote, self.uri = m.tag("from"), m.get("from"), m.uri("contact")
        self.local = m.get("to") + ";tag=" + self.local_tag
        self.caller, self.dialled = m.number("from"), re.search(r"sips?:([^@;]+)", m.start).group(1)
        n = re.match(r'\s*"([^"]*)"', m.get("from"))
        self.caller_name = n.group(1) if n else ""
        self.shown.append((self.t_invite, ('%s <%s>' % (self.caller_name, self.caller)).strip()))
        self._media(m)
        p.respond(m, 100, "Trying")
        p.tell(p, self, "incoming")
        if p.auto == "busy":
            self.reject(486, "Busy Here")
        elif p.auto.startswith("302:"):
            p.respond(m, 302, "Moved Temporarily", self.local_tag, ["Contact: <sip:%s@%s:%d>" % (p.auto[4:], *PBX)])
            self._over("me", "302", p.auto[4:])
        elif p.auto == "ring":
            self.ring()
            if p.obeys and ("answer-after=0" in m.get("call-info") or "alert-autoanswer" in m.get("alert-info")):
                self.answer()
        elif p.auto == "answer":
            self.ring()
            self.answer()
        else:
            self._set("new")

    def ring(self):
        self.phone.respond(self.req, 180, "Ringing", self.local_tag, ["Contact: " + self.phone.contact()])
        self._ringing()

    def _ringing(self):
        if self.t_ring is None:
            self.t_ring = time.time()
            self._set("ringing")
            self.phone.tell(self.phone, self, "ringing")

    def _up(self):
        self._set("up")
        self.phone.tell(self.phone, self, "up")

    def early_media(self):
        self.phone.respond(self.req, 183, "Session Progress", self.local_tag, ["Contact: " + self.phone.contact()], self._sdp())
        self._ringing()

    def answer(self):
        self.phone.respond(self.req, 200, "OK", self.local_tag, ["Contact: " + self.phone.contact()], self._sdp())
        self.t_answer = time.time()
        self._media(self.req)
        self._up()

    def reject(self, code=486, text="Busy Here"):
        self.phone.respond(self.req, code, text, self.local_tag)
        self._over("me", "reject", "%d %s" % (code, text))

    # -- both
    def _request(self, m):
        p = self.phone
        if m.method == "ACK":
            self._ack = True
            self._set(self.state)
        elif m.method == "CANCEL":
            p.respond(m, 200, "OK", self.local_tag)
            if self.state != "up":
                p.respond(self.req, 487, "Request Terminated", self.local_tag)
                self._over("them", "cancel", m.get("reason"))
        elif m.method == "BYE":
            p.respond(m, 200, "OK")
            self._over("them", "bye", m.get("reason"))
        elif m.method in ("INVITE", "UPDATE"):
            pai = m.get("p-asserted-identity")
            if pai:
                self.shown.append((time.time(), pai))
                p.tell(p, self, "shown")
            self._media(m)
            p.respond(m, 200, "OK", self.local_tag, ["Contact: " + p.contact()],
                      self._sdp() if m.method == "INVITE" or m.body else "")
        elif m.method == "NOTIFY":
            p.respond(m, 200, "OK")
            self.obey(m.get("event"))
            if "sipfrag" in m.get("content-type"):
                frag = m.body.strip().split("\r\n")[0]
                p._note("in", "  sipfrag: " + frag)
                if not frag.startswith("SIP/2.0 1"):
                    self.refer_result = frag
                    self._set(self.state)
                    if frag.startswith("SIP/2.0 2") and not self.t_end:      # done: a phone now leaves the call
                        asyncio.create_task(self.bye())
        else:
            p.respond(m, 200, "OK")

    async def _in_dialog(self, method, extra=(), body="", ctype="application/sdp"):
        self.cseq += 1
        return await self.phone.final(self.phone.request(method, self.uri, self.local, self.remote, self.call_id,
                                                         self.cseq, extra, body, ctype))

    async def bye(self):
        self.t_hangup = time.time()
        self._over("me", "bye")
        await self._in_dialog("BYE")

    def obey(self, event):
        """Does what a NOTIFY asks for, as telephones with remote control do: 'talk' picks up, or takes back; 'hold' holds."""
        if not self.phone.obeys or event not in ("talk", "hold"):
            return
        if self.t_answer:
            asyncio.create_task(self.hold(event == "hold"))
        elif event == "talk" and self.way == "in":
            self.answer()

    async def hold(self, on=True):
        async with self._offering:    # one change at a time
            self._mode = "sendonly" if on else "sendrecv"
            r = await self._in_dialog("INVITE", body=self._sdp())
            self._send_ack(r, True)
            return time.time()

    async def dtmf(self, digits):
        for d in digits:
            await self._in_dialog("INFO", body="Signal=%s\r\nDuration=160\r\n" % d, ctype="application/dtmf-relay")
            await asyncio.sleep(0.15)

    async def refer(self, number, replaces=None):
        """Blind transfer, or attended if 'replaces' is our other call."""
        to = "sip:%s@%s:%d" % (number, *PBX)
        if replaces:
            to += "?Replaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s" % (
                replaces.call_id.replace("@", "%40"), replaces.remote_tag, replaces.local_tag)
        t = time.time()
        r = await self._in_dialog("REFER", ["Refer-To: <%s>" % to, "Referred-By: <sip:%s@%s>" % (self.phone.name, PBX[0])])
        if r.code != 202:
            raise RuntimeError("REFER got " + r.start)
        return t
