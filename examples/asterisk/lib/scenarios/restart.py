"""What happens to Asterisk itself during calls."""
from stage import *


@scenario
async def reload_midcall(lab):
    """Asterisk reloads its configuration while 101 talks and 102 rings; both calls go on."""
    c, a = await talking(lab)
    c2 = await client_calls(lab, "5550102", CLIENT2)
    b = await lab.p102.incoming()
    await lab.ami.action("Command", Command="core reload")
    await pause(2)
    b.answer()
    await c2.until("up")
    await pause(1)
    await c.bye()
    await c2.bye()
    await settle(a, b)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="caller"),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("102", b)], [talk("102", CLIENT2, b.t_answer, b.t_end)], by="caller",
                       nth=1, caller=CLIENT2)]


@scenario
async def restart_midcall(lab):
    """Asterisk restarts while 101 talks and 102 rings: both calls are gone. Then a customer calls 101 again."""
    c, a = await talking(lab)
    c2 = await client_calls(lab, "5550102", CLIENT2)
    b = await lab.p102.incoming()
    await pause(1)
    await lab.restart()
    stopped = lab.stopped
    for x in (c, a, c2, b):                         # a telephone that hears nothing any more gives up by itself
        x._over("them", "lost")
        x.t_end = min(x.t_end, stopped)
    for p in lab.p.values():
        await p.register()
    await asyncio.sleep(3)
    c3, a3 = await talking(lab)
    await c3.bye()
    await settle(a3)
    return [await inbound(lab, c, [leg("101", a)], [talk("101", CLIENT, a.t_answer, a.t_end)], by="pbx"),
            await call(lab, "B", "in", c2, "PJSIP/trunk-", [leg("102", b, result="no-answer")], by="pbx", nth=1,
                       caller=CLIENT2),
            await call(lab, "C", "in", c3, "PJSIP/trunk-", [leg("101", a3)], [talk("101", CLIENT, a3.t_answer, a3.t_end)], by="caller", nth=2)]
