"""More ways in, and out."""
from stage import *


@scenario
async def in_forward_busy(lab):
    """101's telephone forwards to 102 (302), who is busy."""
    lab.p101.auto, lab.p102.auto = "302:102", "busy"
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    b = await lab.p102.incoming()
    await settle(c, a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], disposition="busy", by="pbx")]


@scenario
async def in_group_declined(lab):
    """Dial(101&102): 101 declines, 102 rings on and answers."""
    c = await client_calls(lab, "5550200")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(1.5)
    a.reject(603, "Decline")
    await pause(1)
    b.answer()
    await c.until("up")
    await pause(1.5)
    await b.bye()
    await settle(c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("102", CLIENT, b.t_answer, b.t_end)], by="callee", route=["group:600"])]


@scenario
async def in_group_busy(lab):
    """Dial(101&102): 101 is busy, 102 rings; the customer gives up."""
    lab.p101.auto = "busy"
    c = await client_calls(lab, "5550200")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(2)
    await c.cancel()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b, result="cancelled")], disposition="cancelled", by="caller", route=["group:600"])]


@scenario
async def in_early_media(lab):
    """An announcement plays before the answer (early media), then 101 rings and answers."""
    c = await client_calls(lab, "5550120")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await c.until("up")
    await pause(1.5)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller")]


@scenario
async def in_queue_left(lab):
    """The customer presses 1 while a queue rings at 101 and goes to voicemail."""
    c = await client_calls(lab, "5550360")
    a = await lab.p101.incoming()
    await pause(2)
    await c.dtmf("1")
    await a.until("ended")
    await pause(2)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], disposition="no-answer", by="caller", voicemail=True,
                          route=["queue:q-first"], pbx_answered_at=r(c.t_answer))]


@scenario
async def out_failover(lab):
    """101 dials 8 and a number: the first trunk refuses (503), the second takes the call; the customer answers."""
    lab.trunk.auto = "silent"
    c = await lab.p101.dial("8" + CLIENT)
    t1 = await lab.trunk.incoming()
    t1.reject(503, "Service Unavailable")
    t = await lab.trunk.incoming()
    t.ring()
    await pause(1.5)
    t.answer()
    await c.until("up")
    await pause(1.5)
    await c.bye()
    await settle(t)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [], [talk("101", CLIENT, t.t_answer, t.t_end)], by="caller", caller="101",
                       remote_ringing_at=r(t.t_ring))]


@scenario
async def out_declined(lab):
    """101 dials a customer, who declines."""
    c = await lab.p101.dial(CLIENT)
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.reject(603, "Decline")
    await settle(c)
    return [await call(lab, "A", "out", c, "PJSIP/101-", disposition="declined", by="callee", caller="101", remote_ringing_at=r(t.t_ring))]


@scenario
async def c2c_customer_first(lab):
    """A dialler calls the customer first (Originate PJSIP/…@trunk); when he answers, 101 rings and answers."""
    t0 = time.time()
    await lab.ami.action("Originate", Channel="PJSIP/%s@trunk" % CLIENT, Context="from-internal", Exten="101", Priority="1",
                         CallerID='"CRM" <5550100>', Timeout="15000", Async="true")
    t = await lab.trunk.incoming()
    await pause(1)
    t.answer()
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(1.5)
    await t.bye()
    await settle(a)
    return [await call(lab, "A", "out", None, "PJSIP/trunk-", [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], started=t0,
                       ended=t.t_end, origin="dialler", caller="101", callee=CLIENT, by="callee", remote_ringing_at=r(t.t_ring))]
