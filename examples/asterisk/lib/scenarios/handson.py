"""Transfers of calls that came over Local channels or by a click, and of one customer to another."""
from stage import *


async def _answers(phone):
    c = await phone.incoming()
    await pause(1.5)
    c.answer()
    await c.until(lambda: c._ack)
    await pause(1.5)
    return c


async def _connect(a, q, number):
    """The telephone connects its two calls; both end."""
    at = await a.refer(number, replaces=q)
    await a.until(lambda: a.refer_result)
    await handed_on(a, q)
    await pause(1.5)
    return at


async def _agent(lab):
    """A customer calls a queue over Local channels; 101 answers, 102 rang as well."""
    c = await client_calls(lab, "5550310")
    b = asyncio.ensure_future(lab.p102.incoming())
    a = await _answers(lab.p101)
    return c, a, await b


@scenario
async def queue_attended(lab):
    """An agent of a queue, on a Local channel, holds the customer, calls 103, and connects the two."""
    c, a, other = await _agent(lab)
    h = await a.hold()
    q = await lab.p101.dial("103")
    d = await _answers(lab.p103)
    at = await _connect(a, q, "103")
    await c.bye()
    await settle(d)
    return [await inbound(lab, c, [leg("101", a), leg("102", other), leg("103", d)],
                          [talk("101", CLIENT, a.t_answer, at), talk("103", CLIENT, at, d.t_end)], by="caller", route=["queue:q-local"],
                          holds=[{"by": "101", "from": r(h), "to": r(at)}], transfers=[transfer("attended", "101", "103", at, consult="B")],
                          pbx_answered_at=r(c.t_answer)),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("103", d)], [talk("103", "101", d.t_answer, at)], by="transfer",
                       caller="101", merged_into="A", ended=at, nth=1)]


@scenario
async def queue_parked(lab):
    """An agent of a queue, on a Local channel, parks the customer; 103 dials the slot."""
    c, a, other = await _agent(lab)
    at = await a.refer("700")
    slot = (await lab.ami.event("ParkedCall"))["ParkingSpace"]
    await handed_on(a)
    await pause(2)
    d = await lab.p103.dial(slot)
    await d.until("up")
    await pause(1.5)
    await d.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", other), leg("103", d, dialled=slot)],
                          [talk("101", CLIENT, a.t_answer, at), talk("103", CLIENT, d.t_answer, d.t_end)], by="callee", route=["queue:q-local"],
                          parked=[{"slot": slot, "by": "101", "from": r(at), "to": r(d.t_answer), "taken_by": "103"}],
                          pbx_answered_at=r(c.t_answer))]


@scenario
async def queue_held(lab):
    """An agent of a queue, on a Local channel, holds the customer and takes him back."""
    c, a, other = await _agent(lab)
    h = await a.hold()
    await pause(2)
    back = await a.hold(False)
    await pause(1.5)
    await c.bye()
    await settle(a, other)
    return [await inbound(lab, c, [leg("101", a), leg("102", other)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          route=["queue:q-local"], holds=[{"by": "101", "from": r(h), "to": r(back)}], pbx_answered_at=r(c.t_answer))]


@scenario
async def group_attended(lab):
    """A ring group over Local channels (FreePBX): 102 answers, holds, calls 103, and connects the two."""
    c = await client_calls(lab, "5550702")
    other = asyncio.ensure_future(lab.p101.incoming())
    b = await _answers(lab.p102)
    h = await b.hold()
    q = await lab.p102.dial("103")
    d = await _answers(lab.p103)
    at = await _connect(b, q, "103")
    await d.bye()
    await settle(c)
    return [await inbound(lab, c, [leg("101", await other), leg("102", b), leg("103", d)],
                          [talk("102", CLIENT, b.t_answer, at), talk("103", CLIENT, at, d.t_end)], by="callee", route=["group:600"],
                          holds=[{"by": "102", "from": r(h), "to": r(at)}], transfers=[transfer("attended", "102", "103", at, consult="B")]),
            await call(lab, "B", "internal", q, "PJSIP/102-", [leg("103", d)], [talk("103", "102", d.t_answer, at)], by="transfer",
                       caller="102", merged_into="A", ended=at, nth=1)]


async def _clicked(lab, channel):
    """A click: 101 rings and answers, then the customer."""
    t0 = time.time()
    await lab.ami.action("Originate", Channel=channel, Context="from-internal", Exten=CLIENT, Priority="1",
                         CallerID='"CRM" <%s>' % CLIENT, Timeout="15000", Async="true")
    a = await _answers(lab.p101)
    t = await _answers(lab.trunk)
    return t0, a, t


async def _clicked_truth(lab, first, t0, a, t, legs, talks, **more):
    return await call(lab, "A", "out", None, first, [leg("101", a), *legs], talks, started=t0, ended=t.t_end, origin="click-to-call",
                      caller="101", callee=CLIENT, operator_answered_at=r(a.t_answer), remote_ringing_at=r(t.t_ring), **more)


@scenario
async def c2c_transfer_blind(lab):
    """A click calls a customer; 101 transfers him blindly to 102."""
    t0, a, t = await _clicked(lab, "PJSIP/101")
    at = await a.refer("102")
    b = await _answers(lab.p102)
    await t.bye()
    await settle(a, b)
    return [await _clicked_truth(lab, "PJSIP/101-", t0, a, t, [leg("102", b)],
                                 [talk("101", CLIENT, t.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="callee",
                                 transfers=[transfer("blind", "101", "102", at)])]


@scenario
async def c2c_transfer_attended(lab):
    """A click over a Local channel calls a customer; 101 holds, calls 102, and connects the two."""
    t0, a, t = await _clicked(lab, "Local/101@from-internal")
    h = await a.hold()
    q = await lab.p101.dial("102")
    b = await _answers(lab.p102)
    at = await _connect(a, q, "102")
    await t.bye()
    await settle(b)
    return [await _clicked_truth(lab, "Local/101", t0, a, t, [leg("102", b)],
                                 [talk("101", CLIENT, t.t_answer, at), talk("102", CLIENT, at, b.t_end)], by="callee",
                                 holds=[{"by": "101", "from": r(h), "to": r(at)}], transfers=[transfer("attended", "101", "102", at, consult="B")]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], [talk("102", "101", b.t_answer, at)], by="transfer",
                       caller="101", merged_into="A", ended=at, nth=1)]


@scenario
async def join_customers(lab):
    """101 talks with a customer, holds, takes a second one's call, and connects the two with each other."""
    c, a = await talking(lab)
    c2 = await client_calls(lab, "5550101", CLIENT2)
    a2 = await lab.p101.incoming()
    h = await a.hold()
    a2.answer()
    await c2.until("up")
    await pause(1.5)
    at = await _connect(a, a2, "5550101")
    await c.bye()
    await settle(c2)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, at)], by="caller",
                          holds=[{"by": "101", "from": r(h), "to": r(at)}], transfers=[transfer("attended", "101", CLIENT2, at, consult="B")]),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("101", a2)], [talk("101", CLIENT2, a2.t_answer, at)], by="transfer", nth=1,
                       caller=CLIENT2, merged_into="A", ended=at)]
