"""Hold, pick-up, parking, recording, and a client that comes in the middle."""
from stage import *


@scenario
async def hold(lab):
    """101 puts the customer on hold for 2 s and takes the call back."""
    c, a = await talking(lab)
    h1 = await a.hold()
    await pause(2)
    h2 = await a.hold(False)
    await pause(2)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)],
                       by="caller", holds=[{"by": "101", "from": r(h1), "to": r(h2)}])]


async def _pickup(lab, code):
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await pause(2)
    q = await lab.p102.dial(code)
    await q.until("up")
    await c.until("up")
    await pause(3)
    await c.bye()
    await settle(a, q)
    return [await inbound(lab, c, [leg("101", a, result="elsewhere"), leg("102", q, dialled=code)],
                       [talk("102", CLIENT, q.t_answer, q.t_end)], by="caller", pickup={"by": "102", "of": "101", "at": r(q.t_invite)})]


@scenario
async def pickup_directed(lab):
    """A customer's call rings at 101; 102 dials **101 and takes it."""
    return await _pickup(lab, "**101")


@scenario
async def pickup_group(lab):
    """A customer's call rings at 101; 102 dials *8 (group pick-up) and takes it."""
    return await _pickup(lab, "*8")


@scenario
async def park_retrieve(lab):
    """101 parks the customer (blind transfer to 700); 3 s later 102 dials the slot and talks with the customer."""
    c, a = await talking(lab)
    at = await a.refer("700")
    ev = await lab.ami.event("ParkedCall")
    await pause(3)
    q = await lab.p102.dial(ev["ParkingSpace"])
    await q.until("up")
    await pause(3)
    await c.bye()
    await handed_on(a)
    await settle(q)
    return [await inbound(lab, c, [leg("101", a), leg("102", q, dialled=ev["ParkingSpace"])],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, q.t_answer, q.t_end)], by="caller",
                       parked=[{"slot": ev["ParkingSpace"], "by": "101", "from": r(at), "to": r(q.t_answer), "taken_by": "102"}])]


@scenario
async def park_timeout(lab):
    """101 parks the customer; nobody fetches the call; after 6 s it rings back at 101, who answers."""
    c, a = await talking(lab)
    at = await a.refer("700")
    ev = await lab.ami.event("ParkedCall")
    a2 = await lab.p101.incoming()
    await pause(1.5)
    a2.answer()
    await a2.until(lambda: a2._ack)
    await pause(2)
    await a2.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a), leg("101", a2)],
                       [talk("101", CLIENT, a.t_answer, at), talk("101", CLIENT, a2.t_answer, a2.t_end)], by="callee",
                       parked=[{"slot": ev["ParkingSpace"], "by": "101", "from": r(at), "to": r(a2.t_invite), "taken_by": None}])]


def _recording(name):
    path = os.path.join(os.environ["ASTERISK_LAB_RUN"], "spool", "monitor", name)
    return {"file": name, "bytes": os.path.getsize(path) if os.path.exists(path) else None}


@scenario
async def recording(lab):
    """The dialplan records the call from the start with MixMonitor."""
    c, a = await talking(lab, "5550400", 1.5, 3)
    await c.bye()
    await settle(a)
    await lab.idle()
    ch = await lab.channel("PJSIP/trunk-")
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                       recording=_recording("in-%s.wav" % ch["Uniqueid"]))]


@scenario
async def recording_ami(lab):
    """A running call is recorded for 2 s by the AMI actions MixMonitor and StopMixMonitor."""
    c, a = await talking(lab, talk_for=1)
    ch = await lab.channel("PJSIP/101-")
    name = "ami-%s.wav" % ch["Uniqueid"]
    t1 = time.time()
    await lab.ami.action("MixMonitor", Channel=ch["Channel"], File=name)
    await pause(2)
    await lab.ami.action("StopMixMonitor", Channel=ch["Channel"])
    t2 = time.time()
    await pause(1)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                       recording={**_recording(name), "from": r(t1), "to": r(t2)})]


@scenario
async def resync_midcall(lab):
    """The client connects while one call is up and another rings; it asks for the state, then both calls end."""
    c, a = await talking(lab)
    c2 = await client_calls(lab, "5550300", CLIENT2)
    b, d = await lab.p102.incoming(), await lab.p103.incoming()
    await pause(1)
    await lab.again()
    for name in ("BridgeList", "CoreShowChannels"):
        await lab.trace.action(name)
        await lab.trace.event(name + "Complete")
    t_snap = time.time()
    await pause(1)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    await c2.bye()
    await settle(a, b, d)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                       state_at_connect="talking", connected_at=r(t_snap)),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("102", b), leg("103", d)], [talk("102", CLIENT2, b.t_answer, b.t_end)],
                       by="caller", nth=1, caller=CLIENT2, route=["queue:q-ringall"], state_at_connect="ringing 102 and 103",
                       pbx_answered_at=r(c2.t_answer), connected_at=r(t_snap))]
