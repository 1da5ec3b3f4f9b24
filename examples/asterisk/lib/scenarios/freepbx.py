"""The same, with contexts, subroutines and Local channels as FreePBX has them."""
from stage import *


@scenario
async def freepbx_did(lab):
    """A customer calls 101's own number (from-did-direct, macro-dial-one); 101 answers."""
    c, a = await talking(lab, "5550701")
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller")]


@scenario
async def freepbx_voicemail(lab):
    """101 does not answer; macro-vm does."""
    c = await client_calls(lab, "5550701")
    a = await lab.p101.incoming()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a, result="no-answer")], disposition="no-answer", by="caller", voicemail=True,
                          pbx_answered_at=r(c.t_answer))]


@scenario
async def freepbx_group(lab):
    """A ring group over Local/101@from-internal/n: 101 and 102 ring, 102 answers."""
    c = await client_calls(lab, "5550702")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await c.until("up")
    await pause(2)
    await b.bye()
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("102", CLIENT, b.t_answer, b.t_end)], by="callee",
                          route=["group:600"])]


@scenario
async def freepbx_group_noanswer(lab):
    """A ring group over Local channels: 102 declines, 101 rings until the group's time is over."""
    c = await client_calls(lab, "5550702")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(1.5)
    b.reject(603, "Decline")
    await settle(a, c)
    return [await inbound(lab, c, [leg("101", a, result="no-answer"), leg("102", b)], by="pbx", route=["group:600"])]


@scenario
async def freepbx_queue(lab):
    """A queue whose members are Local/101@from-queue/n; 101 answers and hangs up."""
    c = await client_calls(lab, "5550703")
    a, b = await lab.p101.incoming(), await lab.p102.incoming()
    await pause(1.5)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(2)
    await a.bye()
    await settle(b, c)
    return [await inbound(lab, c, [leg("101", a), leg("102", b)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="callee",
                          route=["queue:620"], pbx_answered_at=r(c.t_answer))]


@scenario
async def freepbx_ivr(lab):
    """The IVR (exten s): the customer presses 1, 102 rings and answers, and transfers blindly to 101."""
    c = await client_calls(lab, "5550704")
    await c.until("up")
    await pause(1.5)
    await c.dtmf("1")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(1.5)
    at = await b.refer("101")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await a.until(lambda: a._ack)
    await pause(2)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("102", b), leg("101", a)],
                          [talk("102", CLIENT, b.t_answer, at), talk("101", CLIENT, a.t_answer, a.t_end)], by="caller", route=["ivr:1"],
                          transfers=[transfer("blind", "102", "101", at)], pbx_answered_at=r(c.t_answer))]


@scenario
async def freepbx_out(lab):
    """101 dials 9 and a customer's number (macro-dialout-trunk); the customer answers."""
    c = await lab.p101.dial("9" + CLIENT)
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(t)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [], [talk("101", CLIENT, t.t_answer, t.t_end)], by="caller", caller="101",
                       remote_ringing_at=r(t.t_ring))]
