"""Calls from outside."""
from stage import *


@scenario
async def in_answered(lab):
    """A customer calls 101 directly; 101 rings 2 s, answers; they talk 3 s; the customer hangs up."""
    c = await client_calls(lab, "5550101", name="Ivan Petrov")
    a = await lab.p101.incoming()
    await pause(2)
    a.answer()
    await c.until("up")
    await pause(3)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)],
                       by="caller", caller_name="Ivan Petrov")]


@scenario
async def in_answered_callee_hangs_up(lab):
    """As in-answered, but 101 hangs up first."""
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await pause(1)
    a.answer()
    await c.until("up")
    await pause(2)
    await a.bye()
    await settle(c)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)],
                       by="callee")]


@scenario
async def in_noanswer(lab):
    """101 rings until the PBX gives up (12 s)."""
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await settle(c, a)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], disposition="no-answer", by="pbx")]


@scenario
async def in_busy(lab):
    """101 answers 486 Busy at once: it never rings."""
    lab.p101.auto = "busy"
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await settle(c, a)
    return [await inbound(lab, c, [leg("101", a)], disposition="busy", by="pbx")]


@scenario
async def in_declined(lab):
    """101 rings 2 s, then the user presses Decline (603)."""
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await pause(2)
    a.reject(603, "Decline")
    await settle(c)
    return [await inbound(lab, c, [leg("101", a)], disposition="declined", by="callee")]


@scenario
async def in_cancelled(lab):
    """The customer gives up after 3 s of ringing."""
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await pause(3)
    await c.cancel()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a, result="cancelled")], disposition="cancelled", by="caller")]


@scenario
async def in_unavailable(lab):
    """104 is not registered: no phone rings, the PBX ends the call."""
    await lab.p104.register(0)
    c = await client_calls(lab, "5550104")
    await settle(c)
    await lab.p104.register()
    return [await inbound(lab, c, [], disposition="unavailable", by="pbx")]


@scenario
async def in_overflow(lab):
    """101 rings 4 s without answer, then 102 rings and answers (two Dials, one after the other)."""
    c = await client_calls(lab, "5550500")
    a = await lab.p101.incoming()
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a, result="no-answer"), leg("102", b)],
                       [talk("102", CLIENT, b.t_answer, b.t_end)], by="caller")]


@scenario
async def in_forward_302(lab):
    """101's phone forwards to 102 (302 Moved): 102 rings and answers."""
    lab.p101.auto = "302:102"
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("102", CLIENT, b.t_answer, b.t_end)], by="caller")]


@scenario
async def in_ringgroup(lab):
    """Dial(101&102): both ring, 102 answers after 2 s."""
    c = await client_calls(lab, "5550200")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(2)
    b.answer()
    await c.until("up")
    await pause(3)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("102", CLIENT, b.t_answer, b.t_end)], by="caller", route=["group:600"])]


@scenario
async def in_queue_ringall(lab):
    """Queue of 101, 102, 103, all ring; 102 answers after 2 s; 102 hangs up."""
    c = await client_calls(lab, "5550300")
    a, b, d = [await lab.p[n].incoming() for n in ("101", "102", "103")]
    await pause(2)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(3)
    await b.bye()
    await settle(a, d, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b), leg("103", d)],
                       [talk("102", CLIENT, b.t_answer, b.t_end)], by="callee", route=["queue:q-ringall"],
                       pbx_answered_at=r(c.t_answer))]


@scenario
async def in_queue_local(lab):
    """Queue whose members are Local channels (as GUIs set them up): 101 and 102 ring, 101 answers."""
    c = await client_calls(lab, "5550310")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(2)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(3)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller", route=["queue:q-local"],
                       pbx_answered_at=r(c.t_answer))]


@scenario
async def in_queue_linear(lab):
    """Queue one by one: 101 rings 4 s and does not answer, then 102 rings and answers."""
    c = await client_calls(lab, "5550320")
    a = await lab.p101.incoming()
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(3)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a, result="no-answer"), leg("102", b)],
                       [talk("102", CLIENT, b.t_answer, b.t_end)], by="caller", route=["queue:q-linear"],
                       pbx_answered_at=r(c.t_answer))]


@scenario
async def in_queue_abandoned(lab):
    """The customer leaves the ringall queue after 4 s; nobody answered. To the trunk the call was answered (by the queue)."""
    c = await client_calls(lab, "5550300")
    legs = [await lab.p[n].incoming() for n in ("101", "102", "103")]
    await pause(4)
    await c.bye()
    await settle(*legs)
    return [await inbound(lab, c, [leg(n, x, result="cancelled") for n, x in zip(("101", "102", "103"), legs)],
                       disposition="cancelled", by="caller", route=["queue:q-ringall"], pbx_answered_at=r(c.t_answer))]


@scenario
async def in_queue_timeout(lab):
    """Ringall queue: 101 is busy, 102 and 103 ring 15 s, ring again, the queue gives up after 20 s."""
    lab.p101.auto = "busy"
    c = await client_calls(lab, "5550300")
    seen = {n: [] for n in ("101", "102", "103")}

    async def collect(n):
        while True:
            seen[n].append(await lab.p[n].incoming(60))
    tasks = [asyncio.create_task(collect(n)) for n in seen]
    await c.until("ended", 40)
    await pause(0.3)
    for t in tasks:
        t.cancel()
    legs = [leg(n, x, result=None if n == "101" else "no-answer") for n in seen for x in seen[n]]
    legs.sort(key=lambda x: (x["ring_start"] or x["over_at"], x["ext"]))
    return [await inbound(lab, c, legs, disposition="no-answer", by="pbx",
                       route=["queue:q-ringall"], pbx_answered_at=r(c.t_answer))]


@scenario
async def in_ivr(lab):
    """The IVR answers, the customer presses 1, 101 rings and answers."""
    c = await client_calls(lab, "5550100")
    await c.until("up")
    await pause(1.5)
    await c.dtmf("1")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(3)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)],
                       by="caller", route=["ivr:1"], pbx_answered_at=r(c.t_answer))]


@scenario
async def in_ivr_abandoned(lab):
    """The customer hangs up inside the IVR: no phone ever rang."""
    c = await client_calls(lab, "5550100")
    await c.until("up")
    await pause(2)
    await c.bye()
    await pause(0.3)
    return [await inbound(lab, c, [], disposition="cancelled", by="caller", route=["ivr"],
                       pbx_answered_at=r(c.t_answer))]


@scenario
async def in_two_at_once(lab):
    """Two customers call 101: both ring, 101 answers the first; the second keeps ringing; the first ends, 101 answers the second."""
    c = await client_calls(lab, "5550101", CLIENT)
    a = await lab.p101.incoming()
    await pause(1)
    c2 = await client_calls(lab, "5550101", CLIENT2)
    a2 = await lab.p101.incoming()
    await pause(1)
    a.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await pause(0.5)
    a2.answer()
    await c2.until("up")
    await pause(2)
    await a2.bye()
    await settle(a, a2, c, c2)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller"),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("101", a2)], [talk("101", CLIENT2, a2.t_answer, a2.t_end)],
                       by="callee", nth=1, caller=CLIENT2)]
