"""Conference rooms."""
from stage import *


async def _join(phone, seconds=1.5):
    c = await phone.dial("800")
    await c.until("up")
    await pause(seconds)
    return c


@scenario
async def conference(lab):
    """A customer calls a conference room; 101 and 102 dial 800 and join; they leave again, the customer last."""
    c = await client_calls(lab, "5550800")
    await c.until("up")
    await pause(1)
    a = await _join(lab.p101)
    b = await _join(lab.p102)
    await b.bye()
    await pause(1)
    await a.bye()
    await pause(0.5)
    await c.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a, dialled="800"), leg("102", b, dialled="800")],
                          [talk("101", CLIENT, a.t_answer, a.t_end), talk("102", CLIENT, b.t_answer, b.t_end)], by="caller",
                          conference="800", pbx_answered_at=r(c.t_answer))]


@scenario
async def conference_transfer(lab):
    """101 talks with a customer, transfers him into room 800 and goes there too; 102 joins; they leave, the customer last."""
    c, a = await talking(lab)
    at = await a.refer("800")
    await a.until("ended")
    a2 = await _join(lab.p101)
    b = await _join(lab.p102)
    await b.bye()
    await pause(1)
    await a2.bye()
    await pause(0.5)
    await c.bye()
    await settle(a2, b)
    return [await inbound(lab, c, [leg("101", a), leg("101", a2, dialled="800"), leg("102", b, dialled="800")],
                          [talk("101", CLIENT, a.t_answer, at), talk("101", CLIENT, a2.t_answer, a2.t_end),
                           talk("102", CLIENT, b.t_answer, b.t_end)], by="caller", conference="800",
                          transfers=[transfer("blind", "101", "800", at)])]
