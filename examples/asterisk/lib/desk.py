"""The telephones of a scenario, and what it watches of Asterisk."""
import asyncio, os, subprocess, time
import pbx, sip

PACE = float(os.environ.get("ASTERISK_LAB_PACE", 1))    # how long people take: 0.5 is twice as fast
EXTENSIONS = ("101", "102", "103", "104")
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


async def pause(seconds):
    """What a person does for some seconds."""
    await asyncio.sleep(seconds * PACE)


class Telephone(sip.Phone):
    """A telephone that one can wait at."""

    def __init__(self, name, ip, port, password, log, user=None):
        super().__init__(user or name, ip, port, password, self._told, log)
        self.arrived = asyncio.Queue()
        self.label = name

    def _told(self, phone, call, what):
        if what == "incoming":
            self.arrived.put_nowait(call)

    async def incoming(self, timeout=15):
        """The next call that comes in. It rings already, unless 'auto' says otherwise."""
        return await asyncio.wait_for(self.arrived.get(), timeout)

    def fresh(self):
        self.auto, self.calls = "ring", []
        while not self.arrived.empty():
            self.arrived.get_nowait()


class Lab:
    """Telephones 101 to 104 and the world behind the trunk, and the AMI connections of a scenario: ami to command and
    to find ids with, trace as a gateway has it."""

    def __init__(self, user, events):
        self.user, self.events = user, events
        self.log = []

    async def start(self):
        self.p = {}
        for n in EXTENSIONS:
            await self.add(n)
        self.trunk = await Telephone("trunk", "127.0.0.2", sip.TRUNK_PORT, None, self._note).start()
        self.p101, self.p102, self.p103, self.p104 = (self.p[n] for n in EXTENSIONS)
        return self

    async def add(self, name, user=None):
        """One more telephone. Its user, if not its name, is that of another telephone: a second device."""
        user = user or name
        p = self.p[name] = await Telephone(name, "127.0.0.1", 0, "lab" + user, self._note, user).start()
        await p.register()
        return p

    async def remove(self, name):
        p = self.p.pop(name)
        await p.register(0)
        p.stop()

    async def stop(self):
        for p in self.p.values():
            await p.register(0)
            p.stop()
        self.trunk.stop()

    def phones(self):
        return [*self.p.values(), self.trunk]

    def _note(self, phone, way, text):
        self.log.append({"at": round(time.time(), 4), "phone": phone.label, "dir": way, "sip": text})

    async def capture(self):
        self.log.clear()
        for p in self.phones():
            p.fresh()
        self.seen = []                                  # what earlier connections of this scenario were told
        self.ami = await pbx.AMI().connect()
        self.trace = await pbx.AMI().connect(self.user, self.events)
        await self.trace.event("FullyBooted")

    def close(self):
        self.ami.close()
        self.trace.close()

    async def again(self):
        """Connects anew: the trace begins here."""
        self.seen += self.ami.messages.items
        sent = self.ami.sent
        self.close()
        self.ami = await pbx.AMI().connect()
        self.ami.sent = sent
        self.trace = await pbx.AMI().connect(self.user, self.events)

    async def restart(self):
        """Stops Asterisk at once, whatever calls there are, and starts it again."""
        self.ami.w.write(b"Action: Command\r\nCommand: core stop now\r\n\r\n")
        await asyncio.wait_for(self.ami.over, 20)
        self.stopped = time.time()
        loop = asyncio.get_running_loop()
        for command in ("down", "up"):
            await loop.run_in_executor(None, lambda c=command: subprocess.run(
                [os.path.join(HERE, c)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        await self.again()

    async def channel(self, prefix, nth=0):
        """The Newchannel event of the nth channel (from 0) of this scenario whose name starts with prefix."""
        fits = lambda m: m.get("Event") == "Newchannel" and m["Channel"].startswith(prefix)
        hits = [m for m in self.seen if fits(m)]
        if nth < len(hits):
            return hits[nth]
        rest = nth - len(hits)
        await self.ami.messages.wait(lambda _: len([m for m in self.ami.messages.items if fits(m)]) > rest)
        return [m for m in self.ami.messages.items if fits(m)][rest]

    def hangup_of(self, uniqueid):
        for m in self.seen + self.ami.messages.items:
            if m.get("Event") == "Hangup" and m["Uniqueid"] == uniqueid:
                return m

    async def idle(self, timeout=20):
        """Waits until Asterisk has no channel left."""
        end = time.monotonic() + timeout
        while True:
            start = len(self.ami.messages.items)
            await self.ami.action("CoreShowChannels", log=False)
            done = await self.ami.event("CoreShowChannelsComplete", start=start)
            if done["ListItems"] == "0":
                return
            if time.monotonic() > end:
                raise TimeoutError("Asterisk still has %s channels" % done["ListItems"])
            await asyncio.sleep(0.1)
