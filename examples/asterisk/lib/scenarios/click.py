"""Click-to-call."""
from stage import *


async def c2c(lab, start, first, operator_answers=True, client="answers", hang="operator"):
    """start() asks the PBX; 101 rings first, then the customer is dialled."""
    t0 = time.time()
    await start()
    a = await lab.p101.incoming()
    await pause(1.5)
    if not operator_answers:
        await settle(a)
        return t0, a, None
    if client == "busy":
        lab.trunk.auto = "busy"
    a.answer()
    t = await lab.trunk.incoming()
    if client == "busy":
        await a.until("ended")
        return t0, a, t
    await pause(1.5)
    t.answer()
    await t.until(lambda: t._ack)
    await pause(3)
    await (a if hang == "operator" else t).bye()
    await settle(a, t)
    return t0, a, t


async def c2c_truth(lab, t0, a, t, first, **more):
    talks = [talk("101", CLIENT, t.t_answer, min(t.t_end, a.t_end))] if t and t.t_answer else []
    return [await call(lab, "A", "out", None, first, [leg("101", a, result=more.pop("leg_result", None))], talks, started=t0,
                       ended=a.t_end, origin="click-to-call", caller="101", callee=CLIENT,
                       operator_answered_at=r(a.t_answer), remote_ringing_at=r(t.t_ring) if t else None, **more)]


@scenario
async def c2c_ami_local(lab):
    """Originate Local/101@from-internal to the customer's number: 101 rings, answers, then the customer rings and answers."""
    async def start():
        await lab.ami.action("Originate", Channel="Local/101@from-internal", Context="from-internal", Exten=CLIENT, Priority="1",
                             CallerID='"CRM" <%s>' % CLIENT, Timeout="15000", Async="true", Variable=["__CRM_CALL_ID=deal-42"])
    t0, a, t = await c2c(lab, start, "Local/101")
    return await c2c_truth(lab, t0, a, t, "Local/101", by="caller")


@scenario
async def c2c_ami_pjsip(lab):
    """Originate PJSIP/101 to the customer's number, with a channel id of our own; the customer hangs up."""
    async def start():
        await lab.ami.action("Originate", Channel="PJSIP/101", Context="from-internal", Exten=CLIENT, Priority="1",
                             CallerID='"CRM" <%s>' % CLIENT, Timeout="15000", Async="true", ChannelId="crm-deal-42",
                             Variable=["__CRM_CALL_ID=deal-42"])
    t0, a, t = await c2c(lab, start, "PJSIP/101-", hang="client")
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="callee")


@scenario
async def c2c_ami_operator_noanswer(lab):
    """Originate PJSIP/101, but 101 does not pick up in 6 s: the customer is never called."""
    async def start():
        await lab.ami.action("Originate", Channel="PJSIP/101", Context="from-internal", Exten=CLIENT, Priority="1",
                             CallerID='"CRM" <%s>' % CLIENT, Timeout="6000", Async="true")
    t0, a, t = await c2c(lab, start, "PJSIP/101-", operator_answers=False)
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="pbx", disposition="operator-no-answer", leg_result="no-answer")


@scenario
async def c2c_ami_client_busy(lab):
    """Originate PJSIP/101; 101 answers; the customer is busy."""
    async def start():
        await lab.ami.action("Originate", Channel="PJSIP/101", Context="from-internal", Exten=CLIENT, Priority="1",
                             CallerID='"CRM" <%s>' % CLIENT, Timeout="15000", Async="true")
    t0, a, t = await c2c(lab, start, "PJSIP/101-", client="busy")
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="callee", disposition="busy")


@scenario
async def c2c_ari(lab):
    """ARI POST /channels: PJSIP/101, then the dialplan dials the customer."""
    async def start():
        await pbx.ari("POST", "/channels", {"endpoint": "PJSIP/101", "context": "from-internal", "extension": CLIENT, "priority": 1,
                                            "callerId": '"CRM" <%s>' % CLIENT, "timeout": 15, "channelId": "crm-deal-43"},
                      {"variables": {"__CRM_CALL_ID": "deal-43"}})
    t0, a, t = await c2c(lab, start, "PJSIP/101-")
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="caller")


@scenario
async def c2c_ari_stasis(lab):
    """ARI in full control: 101 is called into the Stasis app, then the customer, and both are put into a bridge."""
    async def start():
        await pbx.ari("POST", "/channels", {"endpoint": "PJSIP/101", "app": "lab", "appArgs": "operator," + CLIENT,
                                            "callerId": '"CRM" <%s>' % CLIENT, "timeout": 15, "channelId": "crm-op-44"})

    app = await pbx.ARI().connect()

    async def control():
        await app.events.wait(lambda e: e["type"] == "StasisStart" and e["channel"]["id"] == "crm-op-44", 30)
        await pbx.ari("POST", "/bridges", {"type": "mixing", "bridgeId": "crm-br-44"})
        await pbx.ari("POST", "/bridges/crm-br-44/addChannel", {"channel": "crm-op-44"})
        await pbx.ari("POST", "/channels/crm-op-44/ring")
        await pbx.ari("POST", "/channels", {"endpoint": "PJSIP/%s@trunk" % CLIENT, "app": "lab", "appArgs": "client", "timeout": 30,
                                            "callerId": "5550100", "originator": "crm-op-44", "channelId": "crm-cl-44"})
        await app.events.wait(lambda e: e["type"] == "StasisStart" and e["channel"]["id"] == "crm-cl-44", 30)
        await pbx.ari("DELETE", "/channels/crm-op-44/ring")
        await pbx.ari("POST", "/bridges/crm-br-44/addChannel", {"channel": "crm-cl-44"})
        await app.events.wait(lambda e: e["type"] == "StasisEnd" and e["channel"]["id"] == "crm-op-44", 30)
        await pbx.ari("DELETE", "/channels/crm-cl-44")
        await pbx.ari("DELETE", "/bridges/crm-br-44")
    job = asyncio.create_task(control())
    t0, a, t = await c2c(lab, start, "PJSIP/101-")
    await job
    await app.close()
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="caller")


async def _originate(lab, exten=CLIENT, **more):
    await lab.ami.action("Originate", Channel="PJSIP/101", Context="from-internal", Exten=exten, Priority="1",
                         CallerID='"CRM" <%s>' % exten, Timeout="15000", Async="true", **more)


@scenario
async def c2c_auto_answer(lab):
    """Originate PJSIP/101 with a Call-Info header that makes the telephone answer by itself; then the customer rings and answers."""
    t0 = time.time()
    await _originate(lab, ChannelId="crm-deal-45", Variable=["PJSIP_HEADER(add,Call-Info)=<sip:127.0.0.1>;answer-after=0"])
    a = await lab.p101.incoming()
    if "answer-after=0" not in a.req.get("call-info"):
        raise RuntimeError("no Call-Info came with the call")
    if not a.t_answer:
        a.answer()
    t = await lab.trunk.incoming()
    await pause(1.5)
    t.answer()
    await t.until(lambda: t._ack)
    await pause(2)
    await t.bye()
    await settle(a, t)
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="callee")


@scenario
async def c2c_cancelled(lab):
    """Originate PJSIP/101; 101 answers, and hangs up while the customer rings."""
    t0 = time.time()
    await _originate(lab)
    a = await lab.p101.incoming()
    await pause(1)
    a.answer()
    t = await lab.trunk.incoming()
    await pause(2)
    await a.bye()
    await settle(a, t)
    return await c2c_truth(lab, t0, a, t, "PJSIP/101-", by="caller", disposition="cancelled")


@scenario
async def c2c_operator_declined(lab):
    """Originate PJSIP/101, but 101 declines: the customer is never called."""
    t0 = time.time()
    await _originate(lab)
    a = await lab.p101.incoming()
    await pause(1)
    a.reject(603, "Decline")
    await settle(a)
    return await c2c_truth(lab, t0, a, None, "PJSIP/101-", by="caller", disposition="operator-no-answer")


@scenario
async def c2c_internal(lab):
    """Originate PJSIP/101 to a colleague: 101 answers, then 102 rings and answers."""
    t0 = time.time()
    await _originate(lab, "102")
    a = await lab.p101.incoming()
    await pause(1)
    a.answer()
    b = await lab.p102.incoming()
    await pause(1.5)
    b.answer()
    await b.until(lambda: b._ack)
    await pause(2)
    await a.bye()
    await settle(a, b)
    return [await call(lab, "A", "internal", None, "PJSIP/101-", [leg("101", a), leg("102", b)],
                       [talk("102", "101", b.t_answer, b.t_end)], started=t0, ended=a.t_end, origin="click-to-call", caller="101",
                       callee="102", operator_answered_at=r(a.t_answer), by="caller")]
