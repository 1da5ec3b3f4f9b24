"""Transfers that fail, transfers of outbound and internal calls, and calls that AMI moves or ends."""
from stage import *


async def _reach(b):
    """A colleague rings for a while, answers, and talks."""
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)


@scenario
async def transfer_blind_busy(lab):
    """101 transfers blindly to 102, who is busy: the call ends."""
    c, a = await talking(lab)
    lab.p102.auto = "busy"
    at = await a.refer("102")
    b = await lab.p102.incoming()
    await handed_on(a)
    await settle(b, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("101", CLIENT, a.t_answer, at)], by="pbx",
                          transfers=[transfer("blind", "101", "102", at, "busy")])]


@scenario
async def transfer_blind_unavailable(lab):
    """101 transfers blindly to 104, which is not registered: the call ends."""
    await lab.p104.register(0)
    c, a = await talking(lab)
    at = await a.refer("104")
    await handed_on(a)
    await settle(c)
    await lab.p104.register()
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, at)], by="pbx",
                          transfers=[transfer("blind", "101", "104", at, "unavailable")])]


@scenario
async def transfer_blind_declined(lab):
    """101 transfers blindly to 102, who declines: the call ends."""
    c, a = await talking(lab)
    at = await a.refer("102")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.reject(603, "Decline")
    await handed_on(a)
    await settle(c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("101", CLIENT, a.t_answer, at)], by="callee",
                          transfers=[transfer("blind", "101", "102", at, "declined")])]


@scenario
async def transfer_blind_outside(lab):
    """101 transfers the customer blindly to a number outside, who answers."""
    c, a = await talking(lab)
    at = await a.refer(MOBILE)
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.answer()
    await t.until(lambda: t._ack)
    await pause(2)
    await c.bye()
    await settle(a, t)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, at), talk(MOBILE, CLIENT, t.t_answer, t.t_end)],
                          by="caller", transfers=[transfer("blind", "101", MOBILE, at)])]


@scenario
async def transfer_attended_declined(lab):
    """101 holds the customer and calls 102, who declines; 101 goes back to the customer."""
    c, a = await talking(lab)
    h = await a.hold()
    q = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.reject(603, "Decline")
    await settle(q)
    await pause(0.5)
    back = await a.hold(False)
    await pause(2)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(back)}]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], disposition="declined", by="callee", caller="101", nth=1)]


@scenario
async def transfer_attended_back(lab):
    """101 holds the customer, calls 102 and talks; 102 does not want the customer and hangs up; 101 goes back."""
    c, a = await talking(lab)
    h = await a.hold()
    q = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await _reach(b)
    await b.bye()
    await settle(q)
    await pause(0.5)
    back = await a.hold(False)
    await pause(2)
    await a.bye()
    await settle(c)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="callee",
                          holds=[{"by": "101", "from": r(h), "to": r(back)}]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], [talk("102", "101", b.t_answer, b.t_end)], by="callee",
                       caller="101", nth=1)]


@scenario
async def transfer_redirect_both(lab):
    """A CRM moves both ends of a talk into a conference (Redirect with ExtraChannel): they talk on."""
    c, a = await talking(lab)
    customer, agent = await lab.channel("PJSIP/trunk-"), await lab.channel("PJSIP/101-")
    await lab.ami.action("Redirect", Channel=customer["Channel"], Context="from-internal", Exten="800", Priority="1",
                         ExtraChannel=agent["Channel"], ExtraContext="from-internal", ExtraExten="800", ExtraPriority="1")
    await pause(3)
    await a.bye()
    await pause(0.5)
    await c.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="callee", conference="800")]


@scenario
async def hangup_ami(lab):
    """A CRM ends a talk (AMI Hangup of 101's channel)."""
    c, a = await talking(lab)
    await lab.ami.action("Hangup", Channel=(await lab.channel("PJSIP/101-"))["Channel"])
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="pbx")]


@scenario
async def hangup_ami_ringing(lab):
    """A CRM refuses a call for 101 while it rings (AMI Hangup of 101's channel); the dial plan ends it."""
    c = await client_calls(lab, "5550101")
    a = await lab.p101.incoming()
    await pause(1.5)
    await lab.ami.action("Hangup", Channel=(await lab.channel("PJSIP/101-"))["Channel"])
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], by="pbx")]


@scenario
async def out_transfer_blind(lab):
    """101 calls a customer and transfers blindly to 102, who answers."""
    c, t = await _out(lab)
    at = await c.refer("102")
    b = await lab.p102.incoming()
    await _reach(b)
    await t.bye()
    await settle(c, b)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [leg("102", b)],
                       [talk("101", CLIENT, t.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="callee", caller="101",
                       ended=t.t_end, transfers=[transfer("blind", "101", "102", at)])]


@scenario
async def out_transfer_attended(lab):
    """101 calls a customer, holds, calls 102, and connects the two."""
    c, t = await _out(lab)
    h = await c.hold()
    q = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await _reach(b)
    at = await c.refer("102", replaces=q)
    await c.until(lambda: c.refer_result)
    await handed_on(c, q)
    await pause(2)
    await b.bye()
    await settle(t)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [leg("102", b)],
                       [talk("101", CLIENT, t.t_answer, at), talk("102", CLIENT, at, b.t_end)], by="callee", caller="101", ended=t.t_end,
                       holds=[{"by": "101", "from": r(h), "to": r(at)}], transfers=[transfer("attended", "101", "102", at, consult="B")]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], [talk("102", "101", b.t_answer, at)], by="transfer",
                       caller="101", merged_into="A", ended=at, nth=1)]


async def _out(lab):
    c = await lab.p101.dial(CLIENT)
    t = await lab.trunk.incoming()
    await pause(1)
    t.answer()
    await c.until("up")
    await pause(2)
    return c, t


@scenario
async def internal_transfer_out(lab):
    """101 calls 102; 102 transfers 101 blindly to a number outside, who answers."""
    c = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await _reach(b)
    at = await b.refer(CLIENT)
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.answer()
    await t.until(lambda: t._ack)
    await pause(2)
    await c.bye()
    await settle(b, t)
    return [await call(lab, "A", "internal", c, "PJSIP/101-", [leg("102", b)],
                       [talk("102", "101", b.t_answer, at), talk("101", CLIENT, t.t_answer, t.t_end)], by="caller", caller="101",
                       transfers=[transfer("blind", "102", CLIENT, at)])]


@scenario
async def park_operator(lab):
    """101 parks the customer at 720; nobody fetches the call; after 4 s it rings at the operator, 103, who answers."""
    c, a = await talking(lab)
    at = await a.refer("720")
    slot = (await lab.ami.event("ParkedCall"))["ParkingSpace"]
    d = await lab.p103.incoming()
    await _reach(d)
    await c.bye()
    await settle(a, d)
    return [await inbound(lab, c, [leg("101", a), leg("103", d)],
                          [talk("101", CLIENT, a.t_answer, at), talk("103", CLIENT, d.t_answer, d.t_end)], by="caller",
                          parked=[{"slot": slot, "by": "101", "from": r(at), "to": r(d.t_invite), "taken_by": None}])]


@scenario
async def park_abandoned(lab):
    """101 parks the customer, who gives up waiting."""
    c, a = await talking(lab)
    at = await a.refer("700")
    slot = (await lab.ami.event("ParkedCall"))["ParkingSpace"]
    await pause(2.5)
    await c.bye()
    await handed_on(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, at)], by="caller",
                          parked=[{"slot": slot, "by": "101", "from": r(at), "to": r(c.t_end), "taken_by": None}])]
