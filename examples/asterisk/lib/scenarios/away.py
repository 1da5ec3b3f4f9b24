"""Calls that go on to a mobile, or to voicemail."""
from stage import *


@scenario
async def in_voicemail(lab):
    """101 does not answer; voicemail does, and the customer leaves a message. Nobody took this call."""
    c = await client_calls(lab, "5550107")
    a = await lab.p101.incoming()
    await c.until("up")
    await pause(3)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], disposition="no-answer", by="caller", voicemail=True,
                          pbx_answered_at=r(c.t_answer))]


@scenario
async def in_followme_both(lab):
    """101 and its user's mobile, which is reached through the trunk, ring at once; the mobile answers."""
    c = await client_calls(lab, "5550108")
    a, t = await lab.p101.incoming(), await lab.trunk.incoming()
    await pause(2)
    t.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, t)
    return [await inbound(lab, c, [leg("101", a)], [talk(MOBILE, CLIENT, t.t_answer, t.t_end)], by="caller")]


@scenario
async def in_followme_desk(lab):
    """101 and its user's mobile ring at once; 101 answers."""
    c = await client_calls(lab, "5550108")
    a, t = await lab.p101.incoming(), await lab.trunk.incoming()
    await pause(2)
    a.answer()
    await c.until("up")
    await pause(2)
    await a.bye()
    await settle(c, t)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="callee")]


@scenario
async def in_followme_none(lab):
    """101 and its user's mobile ring at once; nobody answers."""
    c = await client_calls(lab, "5550108")
    a, t = await lab.p101.incoming(), await lab.trunk.incoming()
    await settle(c, a, t)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], by="pbx")]


@scenario
async def in_followme_sequence(lab):
    """101 does not answer; then its user's mobile rings and answers."""
    c = await client_calls(lab, "5550109")
    a = await lab.p101.incoming()
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.answer()
    await c.until("up")
    await pause(2)
    await t.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], [talk(MOBILE, CLIENT, t.t_answer, t.t_end)], by="callee")]


@scenario
async def in_followme_confirmed(lab):
    """101 does not answer; its user's mobile does and presses 1, which only then gets the customer."""
    c = await client_calls(lab, "5550110")
    a = await lab.p101.incoming()
    t = await lab.trunk.incoming()
    await pause(1)
    t.answer()
    await t.until(lambda: t._ack)
    await pause(1.5)
    await t.dtmf("1")
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, t)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], [talk(MOBILE, CLIENT, c.t_answer, c.t_end)], by="caller",
                          mobile_answered_at=r(t.t_answer))]


@scenario
async def in_followme_unconfirmed(lab):
    """101 does not answer; the mobile's own voicemail does, and presses nothing. The company's voicemail takes the call."""
    c = await client_calls(lab, "5550110")
    a = await lab.p101.incoming()
    t = await lab.trunk.incoming()
    await pause(1)
    t.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, t)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], disposition="no-answer", by="caller", voicemail=True,
                          pbx_answered_at=r(c.t_answer), mobile_answered_at=r(t.t_answer))]


@scenario
async def in_forward_mobile(lab):
    """101's telephone forwards to a mobile (302): the call leaves through the trunk again; the mobile answers."""
    lab.p101.auto = "302:" + MOBILE
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, t)
    return [await inbound(lab, c, [leg("101", a)], [talk(MOBILE, CLIENT, t.t_answer, t.t_end)], by="caller")]


@scenario
async def in_forward_mobile_noanswer(lab):
    """101's telephone forwards to a mobile; the customer gives up while it rings."""
    lab.p101.auto = "302:" + MOBILE
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    t = await lab.trunk.incoming()
    await pause(2)
    await c.cancel()
    await settle(a, t)
    return [await inbound(lab, c, [leg("101", a)], disposition="cancelled", by="caller")]
