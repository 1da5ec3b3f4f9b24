"""Several calls at one telephone, several telephones of one person, and what callers show of themselves."""
from stage import *


@scenario
async def in_two_contacts(lab):
    """105 is registered by two telephones: both ring, the second answers. One extension, so one leg."""
    first, second = await lab.add("105"), await lab.add("105b", "105")
    c = await client_calls(lab, "5550105")
    a, b = await first.incoming(), await second.incoming()
    await pause(1.5)
    b.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, b)
    for name in ("105", "105b"):
        await lab.remove(name)
    return [await inbound(lab, c, [leg("105", a, b)], [talk("105", CLIENT, b.t_answer, b.t_end)], by="caller")]


@scenario
async def in_two_accounts(lab):
    """101's user has a second account, 101-mobile: Dial(101&101-mobile), the second answers."""
    second = await lab.add("101-mobile")
    c = await client_calls(lab, "5550106")
    a, b = await lab.p101.incoming(), await second.incoming()
    await pause(1.5)
    b.answer()
    await c.until("up")
    await pause(2)
    await c.bye()
    await settle(a, b)
    await lab.remove("101-mobile")
    return [await inbound(lab, c, [leg("101", a, b)], [talk("101", CLIENT, b.t_answer, b.t_end)], by="caller")]


async def _waiting(lab):
    """101 talks, and a second customer's call waits."""
    c, a = await talking(lab)
    c2 = await client_calls(lab, "5550101", CLIENT2)
    a2 = await lab.p101.incoming()
    await pause(1.5)
    return c, a, c2, a2


@scenario
async def in_waiting_declined(lab):
    """A second customer calls 101, who is talking: it rings, 101 declines and talks on with the first."""
    c, a, c2, a2 = await _waiting(lab)
    a2.reject(603, "Decline")
    await settle(c2)
    await pause(1)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller"),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("101", a2)], disposition="declined", by="callee", nth=1, caller=CLIENT2)]


@scenario
async def in_waiting_abandoned(lab):
    """A second customer calls 101, who is talking, and gives up."""
    c, a, c2, a2 = await _waiting(lab)
    await c2.cancel()
    await settle(a2)
    await pause(1)
    await a.bye()
    await settle(c)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="callee"),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("101", a2, result="cancelled")], disposition="cancelled", by="caller",
                       nth=1, caller=CLIENT2)]


@scenario
async def in_waiting_taken(lab):
    """A second customer calls 101, who is talking: 101 holds the first, takes the second, swaps them, and ends both."""
    c, a, c2, a2 = await _waiting(lab)
    h1 = await a.hold()
    a2.answer()
    await c2.until("up")
    await pause(1.5)
    h2 = await a2.hold()
    h1_end = await a.hold(False)
    await pause(1.5)
    await c.bye()
    await settle(a)
    h2_end = await a2.hold(False)
    await pause(1.5)
    await a2.bye()
    await settle(c2)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          holds=[{"by": "101", "from": r(h1), "to": r(h1_end)}]),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("101", a2)], [talk("101", CLIENT2, a2.t_answer, a2.t_end)], by="callee",
                       nth=1, caller=CLIENT2, holds=[{"by": "101", "from": r(h2), "to": r(h2_end)}])]


@scenario
async def in_anonymous(lab):
    """A caller who withholds the number; 101 answers."""
    c = await client_calls(lab, "5550101", "anonymous")
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await c.until("up")
    await pause(1.5)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", "", a.t_answer, a.t_end)], by="caller", caller="")]


@scenario
async def in_name(lab):
    """A caller whose name has other letters, and quotation marks."""
    c = await client_calls(lab, "5550101", name='ООО \\"Ромашка\\", Иван')
    a = await lab.p101.incoming()
    await pause(1.5)
    a.answer()
    await c.until("up")
    await pause(1.5)
    await c.bye()
    await settle(a)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller",
                          caller_name='ООО "Ромашка", Иван')]
