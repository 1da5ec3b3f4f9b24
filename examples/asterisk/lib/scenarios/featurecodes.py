"""Transfers by the codes of features.conf: ## blind, *2 attended, typed during a talk."""
from stage import *


async def calling_out(lab):
    """101 calls a customer and talks."""
    c = await lab.p101.dial(CLIENT)
    t = await lab.trunk.incoming()
    await pause(1)
    t.answer()
    await c.until("up")
    await pause(2)
    return c, t


async def _type(c, code):
    """Types a code and 102. Returns when the other side was put on hold: after the code."""
    await c.dtmf(code)
    held = time.time()
    await c.dtmf("102")
    return held


@scenario
async def feature_blind(lab):
    """101, who was called, types ##102: 102 rings and answers."""
    c, a = await talking(lab)
    h = await _type(a, "##")
    b = await lab.p102.incoming()
    await settle(a)
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                          [talk("101", CLIENT, a.t_answer, a.t_end), talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(a.t_end)}], transfers=[transfer("blind", "101", "102", a.t_end)])]


@scenario
async def feature_blind_caller(lab):
    """101, who called a customer, types ##102: 102 rings and answers."""
    c, t = await calling_out(lab)
    h = await _type(c, "##")
    b = await lab.p102.incoming()
    await settle(c)
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await t.bye()
    await settle(b)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [leg("102", b)],
                       [talk("101", CLIENT, t.t_answer, c.t_end), talk("102", CLIENT, b.t_answer, b.t_end)], by="callee", caller="101",
                       ended=t.t_end, holds=[{"by": "101", "from": r(h), "to": r(c.t_end)}],
                       transfers=[transfer("blind", "101", "102", c.t_end)])]


async def _consult(lab, a):
    """Types *2102; returns 102's call, which rings."""
    h = await _type(a, "*2")
    b = await lab.p102.incoming()
    await pause(1.5)
    return h, b


@scenario
async def feature_attended(lab):
    """101, who was called, types *2102: 102 rings and answers, talks with 101, 101 hangs up, the customer gets 102."""
    c, a = await talking(lab)
    h, b = await _consult(lab, a)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    at = time.time()
    await a.bye()
    await pause(2)
    await c.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, at, b.t_end)],
                          by="caller", holds=[{"by": "101", "from": r(h), "to": r(at)}], consult=[talk("102", "101", b.t_answer, at)],
                          transfers=[transfer("attended", "101", "102", at, consult=None)])]


@scenario
async def feature_attended_caller(lab):
    """101, who called a customer, types *2102: 102 answers, talks with 101, 101 hangs up, the customer gets 102."""
    c, t = await calling_out(lab)
    h, b = await _consult(lab, c)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    at = time.time()
    await c.bye()
    await pause(2)
    await t.bye()
    await settle(b)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [leg("102", b)],
                       [talk("101", CLIENT, t.t_answer, at), talk("102", CLIENT, at, b.t_end)], by="callee", caller="101", ended=t.t_end,
                       holds=[{"by": "101", "from": r(h), "to": r(at)}], consult=[talk("102", "101", b.t_answer, at)],
                       transfers=[transfer("attended", "101", "102", at, consult=None)])]


@scenario
async def feature_attended_declined(lab):
    """101 types *2102; 102 declines, and 101 is back with the customer."""
    c, a = await talking(lab)
    h, b = await _consult(lab, a)
    b.reject(603, "Decline")
    back = time.time()
    await pause(4)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(back)}],
                          transfers=[transfer("attended", "101", "102", h, "declined", consult=None)])]


@scenario
async def feature_attended_early(lab):
    """101 types *2102 and hangs up while 102 still rings; 102 answers and gets the customer."""
    c, a = await talking(lab)
    h, b = await _consult(lab, a)
    at = time.time()
    await a.bye()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                          [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(at)}], transfers=[transfer("attended", "101", "102", at, consult=None)])]
