"""Calls that go through many hands, and what happens on the way."""
from stage import *


async def _answers(phone):
    c = await phone.incoming()
    await pause(1.5)
    c.answer()
    await c.until(lambda: c._ack)
    await pause(1.5)
    return c


@scenario
async def chain_blind(lab):
    """101 transfers blindly to 102, who talks and transfers to 103, who answers."""
    c, a = await talking(lab)
    at = await a.refer("102")
    b = await _answers(lab.p102)
    at2 = await b.refer("103")
    d = await _answers(lab.p103)
    await c.bye()
    await settle(a, b, d)
    return [await inbound(lab, c, [leg("101", a), leg("102", b), leg("103", d)],
                          [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, at2), talk("103", CLIENT, d.t_answer, d.t_end)],
                          by="caller", transfers=[transfer("blind", "101", "102", at), transfer("blind", "102", "103", at2)])]


@scenario
async def chain_back(lab):
    """101 transfers blindly to 102, who talks and transfers back to 101."""
    c, a = await talking(lab)
    at = await a.refer("102")
    b = await _answers(lab.p102)
    at2 = await b.refer("101")
    a2 = await _answers(lab.p101)
    await a2.bye()
    await settle(a, b, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b), leg("101", a2)],
                          [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, at2), talk("101", CLIENT, a2.t_answer, a2.t_end)],
                          by="callee", transfers=[transfer("blind", "101", "102", at), transfer("blind", "102", "101", at2)])]


@scenario
async def chain_queue(lab):
    """101 transfers the customer into a queue that rings at 102 and 103; 103 answers."""
    c, a = await talking(lab)
    at = await a.refer("616")
    rings = {n: await lab.p[n].incoming() for n in ("102", "103")}
    d = rings["103"]
    await pause(1.5)
    d.answer()
    await d.until(lambda: d._ack)
    await pause(1.5)
    await c.bye()
    await handed_on(a)
    await settle(*rings.values())
    return [await inbound(lab, c, [leg("101", a), *(leg(n, x) for n, x in rings.items())],
                          [talk("101", CLIENT, a.t_answer, at), talk("103", CLIENT, d.t_answer, d.t_end)], by="caller",
                          route=["queue:q-second"], transfers=[transfer("blind", "101", "616", at)])]


@scenario
async def consult_abandoned(lab):
    """The customer hangs up while 101 talks with 102 about him; 101 and 102 talk on."""
    c, a = await talking(lab)
    h = await a.hold()
    q = await lab.p101.dial("102")
    b = await _answers(lab.p102)
    await c.bye()
    await settle(a)
    await pause(1.5)
    await q.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(a.t_end)}]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], [talk("102", "101", b.t_answer, b.t_end)], by="caller",
                       caller="101", nth=1)]


@scenario
async def consult_outside(lab):
    """101 holds the customer, calls a mobile outside, talks, and connects the two."""
    c, a = await talking(lab)
    h = await a.hold()
    q = await lab.p101.dial(MOBILE)
    t = await lab.trunk.incoming()
    await pause(1)
    t.answer()
    await q.until("up")
    await pause(1.5)
    at = await a.refer(MOBILE, replaces=q)
    await a.until(lambda: a.refer_result)
    await handed_on(a, q)
    await pause(1.5)
    await c.bye()
    await settle(t)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, at), talk(MOBILE, CLIENT, at, t.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(at)}],
                          transfers=[transfer("attended", "101", MOBILE, at, consult="B")]),
            await call(lab, "B", "out", q, "PJSIP/101-", [], [talk("101", MOBILE, t.t_answer, at)], by="transfer", caller="101",
                       merged_into="A", ended=at, nth=1)]


@scenario
async def hold_abandoned(lab):
    """101 puts the customer on hold, who hangs up."""
    c, a = await talking(lab)
    h = await a.hold()
    await pause(2)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(a.t_end)}])]


@scenario
async def park_taken_back(lab):
    """101 parks the customer and dials the slot himself."""
    c, a = await talking(lab)
    at = await a.refer("700")
    slot = (await lab.ami.event("ParkedCall"))["ParkingSpace"]
    await handed_on(a)
    await pause(2)
    a2 = await lab.p101.dial(slot)
    await a2.until("up")
    await pause(1.5)
    await c.bye()
    await settle(a, a2)
    return [await inbound(lab, c, [leg("101", a), leg("101", a2, dialled=slot)],
                          [talk("101", CLIENT, a.t_answer, at), talk("101", CLIENT, a2.t_answer, a2.t_end)], by="caller",
                          parked=[{"slot": slot, "by": "101", "from": r(at), "to": r(a2.t_answer), "taken_by": "101"}])]


@scenario
async def pickup_internal(lab):
    """103 calls 101; 102 dials **101 and takes the call."""
    c = await lab.p103.dial("101")
    a = await lab.p101.incoming()
    await pause(1.5)
    q = await lab.p102.dial("**101")
    await q.until("up")
    await pause(1.5)
    await c.bye()
    await settle(a, q)
    return [await call(lab, "A", "internal", c, "PJSIP/103-", [leg("101", a, result="elsewhere"), leg("102", q, dialled="**101")],
                       [talk("102", "103", q.t_answer, q.t_end)], by="caller", caller="103",
                       pickup={"by": "102", "of": "101", "at": r(q.t_invite)})]


@scenario
async def spied(lab):
    """101 talks with a customer; 103 dials *55101 and listens: he is no part of the call."""
    c, a = await talking(lab, talk_for=1)
    s = await lab.p103.dial("*55101")
    await s.until("up")
    await pause(2)
    await s.bye()
    await pause(0.5)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller")]
