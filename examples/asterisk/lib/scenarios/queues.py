"""Queues: agents who decline, come and go, and are rung one after another; and the way there and on."""
from stage import *


def queued(c, *queues):
    return {"route": ["queue:" + q for q in queues], "pbx_answered_at": r(c.t_answer)}


@scenario
async def in_ivr_queue_overflow(lab):
    """The customer presses 4 in the IVR: a queue where 101 does not answer, then a second queue, where 103 does."""
    c = await client_calls(lab, "5550100")
    await c.until("up")
    await pause(1.5)
    await c.dtmf("4")
    a = await lab.p101.incoming()
    b, d = await lab.p102.incoming(), await lab.p103.incoming()
    await pause(1.5)
    d.answer()
    await d.until(lambda: d._ack)
    await pause(2)
    await c.bye()
    await settle(a, b, d)
    return [await inbound(lab, c, [leg("101", a, result="no-answer"), leg("102", b), leg("103", d)],
                          [talk("103", CLIENT, d.t_answer, d.t_end)], by="caller", **queued(c, "q-first", "q-second"))]


@scenario
async def in_queue_declined(lab):
    """Queue one by one: 101 declines, then 102 rings and answers."""
    c = await client_calls(lab, "5550320")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.reject(603, "Decline")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await b.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("102", CLIENT, b.t_answer, b.t_end)], by="callee",
                          **queued(c, "q-linear"))]


@scenario
async def in_queue_local_declined(lab):
    """Queue over Local channels: 101 and 102 ring, 101 declines, 102 goes on ringing and answers."""
    c = await client_calls(lab, "5550310")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(1.5)
    a.reject(603, "Decline")
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await b.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("102", CLIENT, b.t_answer, b.t_end)], by="callee",
                          **queued(c, "q-local"))]


@scenario
async def in_queue_penalty(lab):
    """Queue with penalties: 101 rings and declines, then 102, whose penalty is higher, rings and answers."""
    c = await client_calls(lab, "5550350")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.reject(603, "Decline")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                          **queued(c, "q-penalty"))]


@scenario
async def in_queue_dynamic(lab):
    """101 logs in to a queue by a code (AddQueueMember, over a Local channel), and gets a customer's call."""
    login = await lab.p101.dial("*45")
    await login.until("ended")
    c = await client_calls(lab, "5550340")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(2)
    await a.bye()
    await settle(c)
    logout = await lab.p101.dial("*46")
    await logout.until("ended")
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="callee", **queued(c, "q-dynamic"))]


@scenario
async def in_queue_pickup(lab):
    """A queue rings at 101, 102 and 103; 104 dials **101 and takes the call."""
    c = await client_calls(lab, "5550300")
    legs = {n: await lab.p[n].incoming() for n in ("101", "102", "103")}
    await pause(1.5)
    q = await lab.p104.dial("**101")
    await q.until("up")
    await pause(2)
    await c.bye()
    await settle(q, *legs.values())
    return [await inbound(lab, c, [*(leg(n, x, result="elsewhere") for n, x in legs.items()), leg("104", q, dialled="**101")],
                          [talk("104", CLIENT, q.t_answer, q.t_end)], by="caller", pickup={"by": "104", "of": "101", "at": r(q.t_invite)},
                          **queued(c, "q-ringall"))]


@scenario
async def in_queue_transfer(lab):
    """An agent of a queue, on a Local channel, transfers the customer blindly to 103."""
    c = await client_calls(lab, "5550310")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(1.5)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(2)
    at = await a.refer("103")
    d = await lab.p103.incoming()
    await pause(1.5)
    d.answer()
    await d.until(lambda: d._ack)
    await pause(2)
    await c.bye()
    await settle(a, b, d)
    return [await inbound(lab, c, [leg("101", a), leg("102", b), leg("103", d)],
                          [talk("101", CLIENT, a.t_answer, at), talk("103", CLIENT, d.t_answer, d.t_end)], by="caller",
                          transfers=[transfer("blind", "101", "103", at)], **queued(c, "q-local"))]
