"""Calls that are handed on, by the telephone and by AMI."""
from stage import *


@scenario
async def transfer_blind_sip(lab):
    """101 talks with a customer and transfers blindly with the phone's button (REFER) to 102, who rings and answers."""
    c, a = await talking(lab)
    at = await a.refer("102")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                       transfers=[transfer("blind", "101", "102", at)])]


@scenario
async def transfer_blind_ami(lab):
    """The same by the AMI action BlindTransfer on 101's channel."""
    c, a = await talking(lab)
    ch = await lab.channel("PJSIP/101-")
    at = time.time()
    await lab.ami.action("BlindTransfer", Channel=ch["Channel"], Context="from-internal", Exten="102")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await b.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="callee",
                       transfers=[transfer("blind", "101", "102", at)])]


@scenario
async def transfer_redirect_ami(lab):
    """The same by the AMI action Redirect on the customer's channel (how many CRMs do it): no transfer event is sent."""
    c, a = await talking(lab)
    ch = await lab.channel("PJSIP/trunk-")
    at = time.time()
    await lab.ami.action("Redirect", Channel=ch["Channel"], Context="from-internal", Exten="102", Priority="1")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                       transfers=[transfer("blind", None, "102", at)])]


@scenario
async def transfer_blind_noanswer(lab):
    """101 transfers blindly to 102, who does not answer; the call ends after 12 s."""
    c, a = await talking(lab)
    at = await a.refer("102")
    b = await lab.p102.incoming()
    await settle(a, b, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b, result="no-answer")],
                       [talk("101", CLIENT, a.t_answer, at)], by="pbx",
                       transfers=[transfer("blind", "101", "102", at, "no-answer")])]


@scenario
async def transfer_attended_sip(lab):
    """101 holds the customer, calls 102, they talk 2 s, 101 connects the two (REFER with Replaces)."""
    c, a = await talking(lab)
    h = await a.hold()
    q = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await q.until("up")
    await pause(2)
    at = await a.refer("102", replaces=q)
    await a.until(lambda: a.refer_result)
    await handed_on(a, q)
    await pause(3)
    await c.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, at, b.t_end)], by="caller",
                       holds=[{"by": "101", "from": r(h), "to": r(at)}],
                       transfers=[transfer("attended", "101", "102", at, consult="B")]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], [talk("102", "101", b.t_answer, at)],
                       by="transfer", caller="101", merged_into="A", ended=at, nth=1)]


@scenario
async def transfer_attended_early_sip(lab):
    """As transfer-attended-sip, but 101 connects while 102 still rings; 102 answers later."""
    c, a = await talking(lab)
    h = await a.hold()
    q = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await q.until("ringing")
    await pause(1.5)
    at = await a.refer("102", replaces=q)
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await c.bye()
    for x in (a, q):
        if not x.t_end:
            await x.until("ended", 3)
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                       holds=[{"by": "101", "from": r(h), "to": r(at)}],
                       transfers=[transfer("attended", "101", "102", at, consult="B")]),
            await call(lab, "B", "internal", q, "PJSIP/101-", [leg("102", b)], [], by="transfer", caller="101",
                       disposition="transferred", merged_into="A", ended=at, nth=1)]


@scenario
async def transfer_attended_ami(lab):
    """The AMI action Atxfer on 101's channel: 102 rings and answers, talks with 101, 101 hangs up, the customer gets 102."""
    c, a = await talking(lab)
    ch = await lab.channel("PJSIP/101-")
    h = time.time()
    await lab.ami.action("Atxfer", Channel=ch["Channel"], Exten="102", Context="from-internal")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    at = time.time()
    await a.bye()
    await pause(3)
    await c.bye()
    await settle(b)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)],
                       [talk("101", CLIENT, a.t_answer, at), talk("102", CLIENT, at, b.t_end)], by="caller",
                       holds=[{"by": "101", "from": r(h), "to": r(at)}],
                       consult=[talk("102", "101", b.t_answer, at)],
                       transfers=[transfer("attended", "101", "102", at, consult=None)])]
