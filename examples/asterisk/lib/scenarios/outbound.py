"""Internal calls, and calls to the outside."""
from stage import *


@scenario
async def internal(lab):
    """101 calls 102, who rings 2 s and answers; 101 hangs up."""
    c = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await pause(2)
    b.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(b)
    return [await call(lab, "A", "internal", c, "PJSIP/101-", [leg("102", b)], [talk("102", "101", b.t_answer, b.t_end)],
                       by="caller", caller="101")]


@scenario
async def out_answered(lab):
    """101 dials a customer; the provider sends early media, then answers after 2 s; the customer hangs up."""
    lab.trunk.auto = "silent"
    c = await lab.p101.dial(CLIENT)
    t = await lab.trunk.incoming()
    await pause(0.3)
    t.early_media()
    await pause(2)
    t.answer()
    await c.until("up")
    await pause(3)
    await t.bye()
    await settle(c)
    return [await call(lab, "A", "out", c, "PJSIP/101-", [], [talk("101", CLIENT, t.t_answer, t.t_end)], by="callee",
                       caller="101", remote_ringing_at=r(t.t_ring))]


@scenario
async def out_busy(lab):
    """101 dials a customer who is busy."""
    lab.trunk.auto = "busy"
    c = await lab.p101.dial(CLIENT)
    await settle(c)
    return [await call(lab, "A", "out", c, "PJSIP/101-", disposition="busy", by="callee", caller="101")]


@scenario
async def out_cancelled(lab):
    """101 dials a customer and gives up after 3 s of ringing."""
    c = await lab.p101.dial(CLIENT)
    t = await lab.trunk.incoming()
    await pause(3)
    await c.cancel()
    await settle(t)
    return [await call(lab, "A", "out", c, "PJSIP/101-", disposition="cancelled", by="caller", caller="101",
                       remote_ringing_at=r(t.t_ring))]


@scenario
async def out_wrong_number(lab):
    """The provider refuses the number (404)."""
    lab.trunk.auto = "silent"
    c = await lab.p101.dial("79990000000")
    t = await lab.trunk.incoming()
    t.reject(404, "Not Found")
    await settle(c)
    return [await call(lab, "A", "out", c, "PJSIP/101-", disposition="failed", by="pbx", caller="101")]


@scenario
async def internal_declined(lab):
    """101 calls 102, who declines."""
    c = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await pause(1.5)
    b.reject(603, "Decline")
    await settle(c)
    return [await call(lab, "A", "internal", c, "PJSIP/101-", [leg("102", b)], disposition="declined", by="callee", caller="101")]


@scenario
async def internal_busy(lab):
    """101 calls 102, who is busy."""
    lab.p102.auto = "busy"
    c = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await settle(c, b)
    return [await call(lab, "A", "internal", c, "PJSIP/101-", [leg("102", b)], disposition="busy", by="callee", caller="101")]


@scenario
async def internal_cancelled(lab):
    """101 calls 102 and gives up."""
    c = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await pause(2)
    await c.cancel()
    await settle(b)
    return [await call(lab, "A", "internal", c, "PJSIP/101-", [leg("102", b, result="cancelled")], disposition="cancelled", by="caller",
                       caller="101")]


@scenario
async def internal_noanswer(lab):
    """101 calls 102, who does not answer until the PBX gives up."""
    c = await lab.p101.dial("102")
    b = await lab.p102.incoming()
    await settle(c, b)
    return [await call(lab, "A", "internal", c, "PJSIP/101-", [leg("102", b, result="no-answer")], by="pbx", caller="101")]
