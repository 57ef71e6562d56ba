"""An OPC UA machine through the real library and real sockets: everything arrives in order, or a gap record says what does not."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.server.internal_session import InternalSession

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.operation import Operation
from shinkei_events.settings import load_plant, section, strict
from shinkei_gateway.opcua.ladder import SAME_START_S
from shinkei_gateway.opcua.publish_loop import OUTSTANDING, UNDURABLE
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from shinkei_gateway.settings import GatewaySettings, sources_of
from tests.support import honest_server
from tests.support.completeness import Verdict, compare
from tests.support.counting_machine import URI, CountingMachine, settings
from tests.support.fake_intake import FakeIntake
from tests.support.gateway_site import write_site
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.waiting import eventually_async, patient


def source(url: str, intake: FakeIntake, **more: Any) -> OpcuaMachine:
    return OpcuaMachine("src", strict(settings(url, **more), OpcuaSource, "x"), intake)


@asynccontextmanager
async def running(made: OpcuaMachine) -> Any:
    stop = asyncio.Event()
    task = asyncio.create_task(made.run(stop))
    try:
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def connected(made: OpcuaMachine) -> None:
    await eventually_async(lambda: made.health()["connected"])


def verdict(machine: CountingMachine, intake: FakeIntake) -> Verdict:
    arrived = {name: [(r.time, r.value) for r in intake.readings(name)] for name in machine.written}
    return compare(machine.written, arrived, intake.gaps())


async def counted(machine: CountingMachine, values: int) -> None:
    """The machine has counted that much further."""
    until = machine.count + values
    await eventually_async(lambda: machine.count >= until, 30)


async def all_came(machine: CountingMachine, intake: FakeIntake) -> None:
    """The last value of every tag is there."""

    def last() -> bool:
        return all((found := intake.readings(name)) and found[-1].value == machine.count for name in machine.written)

    await eventually_async(last, 15)


async def restarted_behind_a_cut(machine: CountingMachine, made: OpcuaMachine, proxy: Proxy) -> int:
    """The server is another one and the source still cut off; the subscription that it had."""
    (ours,) = machine.subscriptions()
    proxy.cut()
    await machine.stop()
    await eventually_async(lambda: not made.health()["connected"])
    await asyncio.sleep(SAME_START_S)  # a server is not started twice within it
    await machine.start()
    return ours


def check(test: Callable[[CountingMachine, FakeIntake, Proxy], Awaitable[None]], limit: float = 300) -> None:
    async def whole() -> None:
        machine, intake = CountingMachine(free_port()), FakeIntake()
        await machine.start()
        try:
            with Proxy(machine.port) as proxy:
                await asyncio.wait_for(test(machine, intake, proxy), limit)
        finally:
            await machine.stop()

    asyncio.run(whole())


def test_every_value_arrives_once_in_order_with_its_source_time() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake)) as made:
            await connected(made)
            for _ in range(300):
                await machine.step()
                await asyncio.sleep(0)
            await all_came(machine, intake)
        found = verdict(machine, intake)
        assert (found.written, found.missing, found.doubled, found.unexplained) == (1200, 0, 0, [])
        assert intake.gaps() == []

    check(test)


def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake)) as made:
            await connected(made)
            await eventually_async(lambda: intake.readings())
            await eventually_async(lambda: any(batch.source == "src@signals" for batch in intake.batches))
            (subscription,) = machine.subscriptions().values()
            intake.hold = True
            for _ in range(UNDURABLE):  # a message each
                before = subscription._notification_seq
                await machine.step()
                await eventually_async(lambda before=before: subscription._notification_seq > before)
            await eventually_async(lambda: intake.waiting >= UNDURABLE)
            held = set(subscription._not_acknowledged_results)
            assert len(held) >= UNDURABLE
            sent = subscription._notification_seq
            for _ in range(OUTSTANDING + 2):  # what was asked for already still comes, then no more
                await machine.step()
                await asyncio.sleep(0.1)  # nothing tells that no message comes
            assert subscription._notification_seq <= sent + OUTSTANDING
            assert held <= set(subscription._not_acknowledged_results), "acknowledged what is not on disk"
            intake.hold = False
            intake.release()
            await machine.step()
            await all_came(machine, intake)
            await machine.step()
            await eventually_async(lambda: not held & set(subscription._not_acknowledged_results))
            await all_came(machine, intake)
        assert verdict(machine, intake).missing == 0
        assert intake.gaps() == []

    check(test)


def test_no_room_stops_the_requests_and_keeps_the_session() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake, timeout="5s")) as made:
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            intake.room = False
            stop = asyncio.Event()
            writing = asyncio.create_task(machine.run(0.05, stop))
            await counted(machine, 150)  # 7.5 s: a machine that says nothing for 6.5 s is lost
            stop.set()
            await writing
            behind = machine.count - intake.readings("t0")[-1].value
            assert behind > 60, "it went on taking without room"
            intake.room = True
            await all_came(machine, intake)
            assert made.health()["connections"] == 1
        assert verdict(machine, intake).missing == 0
        assert intake.gaps() == []

    check(test)


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_network_fault_within_the_queues_loses_nothing(how: str) -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        made = source(f"opc.tcp://{proxy.address}/", intake, timeout="20s" if how == "cut" else "1s")
        stop = asyncio.Event()
        writing = asyncio.create_task(machine.run(0.01, stop))
        async with running(made):
            for values in (5, 30, 120) if how == "cut" else (30, 300):
                before = made.health()["connections"]
                await connected(made)
                await counted(machine, 20)
                getattr(proxy, how)()
                await counted(machine, values)
                if values == 300:  # it hangs for so long that it is given up
                    await eventually_async(lambda: not made.health()["connected"])
                proxy.restore()
                if how == "cut":
                    await eventually_async(
                        lambda before=before: made.health()["connections"] > before + (before == 0), 15
                    )
                await connected(made)
            await counted(machine, 20)
            stop.set()
            await writing
            await all_came(machine, intake)
            assert made.health()["resumed"] >= (3 if how == "cut" else 1)
        found = verdict(machine, intake)
        assert (found.doubled, found.unexplained, found.missing) == (0, [], 0)
        assert intake.gaps() == []

    check(test)


def test_a_gateway_that_stood_still_itself_does_not_take_that_for_the_machines_silence() -> None:
    """As a virtual machine does that is moved: what was said meanwhile is there, and the subscription with it."""

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake, timeout="1s")) as made:
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            time.sleep(3.0)  # noqa: ASYNC251  nothing runs here; a server that is silent for 2.5 s has lost the subscription
            await asyncio.sleep(0.5)  # it looks again
            await machine.step()
            await all_came(machine, intake)
            assert made.health()["connections"] == made.health()["resumed"] + 1
        assert (verdict(machine, intake).missing, intake.gaps()) == (0, [])

    check(test)


def test_a_machine_that_comes_back_with_other_namespace_indexes_is_found_by_uri() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake)) as made:
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            await machine.stop()
            await eventually_async(lambda: not made.health()["connected"])
            machine._padding = 3
            await machine.start()
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
        found = verdict(machine, intake)
        assert (found.doubled, found.missing - found.covered) == (0, 0)

    check(test)


def test_a_lost_machine_is_no_data_and_then_what_it_says() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        await machine.write("State", "EXECUTE", ua.VariantType.String, 1_700_000_000_000_000_000)
        async with running(source(f"opc.tcp://{proxy.address}/", intake)) as made:
            await eventually_async(lambda: intake.drafts(MachineStateChanged))
            proxy.cut()
            await eventually_async(lambda: len(intake.drafts(MachineStateChanged)) == 2)
            proxy.restore()
            await connected(made)
            await eventually_async(lambda: len(intake.drafts(MachineStateChanged)) == 3)
        states = intake.drafts(MachineStateChanged)
        assert [draft.fields["state"] for draft in states] == ["EXECUTE", "NO_DATA", "EXECUTE"]
        assert [draft.time for draft in states] == sorted(draft.time for draft in states)

    check(test)


def test_what_a_machine_did_while_the_gateway_was_down_is_no_data() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        await machine.write("State", "EXECUTE", ua.VariantType.String, time.time_ns())
        async with running(source(machine.url, intake)):
            await machine.step()
            await eventually_async(lambda: intake.drafts(MachineStateChanged))
        intake.last_run = time.time_ns()
        await machine.step()
        async with running(source(machine.url, intake)):
            await eventually_async(lambda: len(intake.drafts(MachineStateChanged)) == 3)
        _, lost, back = intake.drafts(MachineStateChanged)
        assert (lost.fields["state"], back.fields["state"]) == ("NO_DATA", "EXECUTE")
        assert lost.time == intake.last_run < back.time

    check(test)


def test_a_node_that_fails_is_tried_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shinkei_gateway.opcua.nodes.REFUSED_AGAIN_S", 0.3)

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake, tags=5, timeout="20s")) as made:  # t4 is not there yet
            await connected(made)
            assert list(made.health()["refused"].values()) == ["BadNodeIdUnknown"]
            await machine.step()
            await eventually_async(lambda: intake.readings("t3"))
            connections = made.health()["connections"]
            index = await machine._server.get_namespace_index(URI)
            await machine._node("t4", index, 7, ua.VariantType.Int64)
            await eventually_async(lambda: intake.readings("t4") and made.health()["refused"] == {})
            assert made.health()["connections"] == connections

    check(test)


def test_a_node_that_goes_away_and_returns_is_heard_of_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shinkei_gateway.opcua.nodes.REFUSED_AGAIN_S", 0.3)

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake, timeout="20s")) as made:
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            node = machine._server.get_node(machine._nodes["t3"])
            await machine._server.delete_nodes([node])
            await eventually_async(lambda: made.health()["refused"] and intake.readings("t3")[-1].status)
            assert intake.readings("t3")[-1].status & 0xFFFF0000 in (0x80330000, 0x80340000)
            index = await machine._server.get_namespace_index(URI)
            await machine._node("t3", index, 7, ua.VariantType.Int64)
            await eventually_async(lambda: not made.health()["refused"])
            await machine.step()
            await all_came(machine, intake)
            assert made.health()["connections"] == 1
        (gap,) = intake.gaps()
        assert gap["channels"] == ["t3"], "what happened to it meanwhile nobody knows"

    check(test)


def test_a_server_that_tells_of_its_nodes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shinkei_gateway.opcua.nodes.REFUSED_AGAIN_S", 3600.0)

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        events = await machine._server.get_event_generator(ua.ObjectIds.GeneralModelChangeEventType)
        async with running(source(machine.url, intake, tags=5)) as made:  # t4 is not there yet
            await connected(made)
            index = await machine._server.get_namespace_index(URI)
            await machine._node("t4", index, 7, ua.VariantType.Int64)
            await events.trigger()
            await eventually_async(lambda: intake.readings("t4"))

    check(test)


def test_a_deadband_is_the_servers_and_a_promise_it_cannot_keep_is_said() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake, deadband=4.5, queue=20)) as made:
            await connected(made)
            for _ in range(10):
                await machine.step()
            await eventually_async(lambda: intake.readings("t0"))
            await machine.cycle()
            await eventually_async(lambda: intake.drafts(Operation))
            assert len(intake.readings("t0")) < 5, "each step is smaller than the deadband"
            health = made.health()
            assert health["covers_s"] < health["promised_s"]
            assert f"nsu={URI};s=t0" in health["short"]

    check(test)


def test_wishes_of_a_node_and_of_a_group_in_plant_toml_reach_the_server(tmp_path: Path) -> None:
    """A node's own first, then its group's, then the source's."""

    def node(at: int, **more: Any) -> dict[str, Any]:
        return {"node": f"nsu={URI};s=t{at}", "name": f"t{at}"} | more

    slow = {"sampling": "1s", "queue": 60, "trigger": "status_value", "deadband": 2.5, "discard": "newest"}
    slow["signals"] = [node(1), node(2, sampling="500ms", queue=7, trigger="status", deadband=0, discard="oldest")]
    asked: dict[str, tuple[float, int, bool, int, int, float]] = {}

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        service = machine._server.iserver.subscription_service
        create = service.create_monitored_items

        async def seen(params: ua.CreateMonitoredItemsParameters) -> Any:
            for item in params.ItemsToCreate:
                wish, filter_ = item.RequestedParameters, item.RequestedParameters.Filter
                if hasattr(
                    filter_, "Trigger"
                ):  # the library makes classes of its own when it reads definitions of types
                    asked[item.ItemToMonitor.NodeId.Identifier] = (
                        wish.SamplingInterval, wish.QueueSize, wish.DiscardOldest, filter_.Trigger, filter_.DeadbandType, filter_.DeadbandValue,
                    )  # fmt: skip
            return await create(params)

        service.create_monitored_items = seen  # type: ignore[method-assign]
        wish = settings(machine.url, sampling="100ms", outage="2s", signals=[node(0)], groups={"slow": slow})
        del wish["queue"]
        plant = load_plant(write_site(tmp_path, {"src": wish}))
        found = sources_of(section(plant, "gateway", GatewaySettings))["src"]
        assert isinstance(found, OpcuaSource)
        async with running(OpcuaMachine("src", found, intake)) as made:
            await connected(made)
            await machine.step()
            await eventually_async(lambda: intake.readings("t1"))

    check(test)
    assert {name: asked[name] for name in ("t0", "t1", "t2")} == {
        "t0": (100.0, 20, True, 2, 0, 0.0),
        "t1": (1000.0, 60, False, 1, 1, 2.5),
        "t2": (500.0, 7, True, 0, 0, 0.0),
    }


def test_operations_are_exact_over_cuts_and_restarts_of_the_gateway() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        url = f"opc.tcp://{proxy.address}/"
        async with running(source(url, intake)) as made:
            await connected(made)
            for _ in range(10):
                await machine.cycle()
                await asyncio.sleep(0.005)
            await eventually_async(lambda: len(intake.drafts(Operation)) == 10)
            proxy.cut()
            for _ in range(4):
                await machine.cycle()
                await asyncio.sleep(0.005)
            proxy.restore()
            await eventually_async(lambda: len(intake.drafts(Operation)) == 14, 15)
        async with running(source(url, intake)) as made:  # a new gateway with the old one's resume state
            await connected(made)
            await machine.cycle()
            await eventually_async(lambda: len(intake.drafts(Operation)) == 15)
        operations = intake.drafts(Operation)
        assert [draft.time for draft in operations] == [time for time, _ in machine.operations]
        assert len({draft.fields["operation_id"] for draft in operations}) == 15
        assert [draft.fields["readings"][0].value for draft in operations] == [n / 10 for n in range(1, 16)]
        assert intake.gaps("production") == []

    check(test)


def test_an_edge_without_values_is_read_and_then_told_as_unknown() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        async with running(source(machine.url, intake)) as made:
            await connected(made)
            await machine.cycle()
            await eventually_async(lambda: len(intake.drafts(Operation)) == 1)
            await machine.cycle(values=False)
            await eventually_async(lambda: len(intake.drafts(Operation)) == 2)
        unknown = intake.drafts(Operation)[1].fields["unknown"]
        assert "kind" in unknown
        assert "readings.leak" not in unknown, "the machine was asked and still shows the value"
        assert [gap["channels"] for gap in intake.gaps("production")] == [["@cycle.operation"]]

    check(test)


def test_a_structure_nobody_knows_is_kept_with_its_type_and_bytes() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        index = await machine._server.get_namespace_index(URI)
        await machine._node(
            "t4",
            index,
            ua.ExtensionObject(ua.NodeId(12345, 1), b"abc"),
            ua.VariantType.ExtensionObject,
            ua.NodeId(ua.ObjectIds.Structure),
        )
        async with running(source(machine.url, intake, tags=5)) as made:
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
        (reading,) = intake.readings("t4")
        assert isinstance(reading.value, dict)
        assert reading.value["body"] == "YWJj"

    check(test)


def test_it_ends_at_once_when_told_also_while_the_machine_is_away() -> None:
    async def whole() -> None:
        intake = FakeIntake()
        async with running(source(f"opc.tcp://127.0.0.1:{free_port()}/", intake)) as made:
            await eventually_async(lambda: made.health()["error"])
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < patient(2.0)

    asyncio.run(whole())


def test_a_server_that_takes_one_publish_request_has_one_and_its_session_is_nobody_elses_to_read(
    tmp_path: Path,
) -> None:
    """It answers the others with BadTooManyPublishRequests; a token of the session is as good as a password."""

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        honest_server.WAYS.requests = 1
        memory = tmp_path / "sessions" / "src"
        made = OpcuaMachine("src", strict(settings(machine.url), OpcuaSource, "x"), intake, memory=memory)
        before = os.umask(0)
        try:
            async with running(made):
                await connected(made)
                for _ in range(3):
                    await machine.step()
                    await all_came(machine, intake)
                await eventually_async(lambda: made.health()["publish_requests"] == 1)
                await eventually_async(memory.exists)
                modes = [stat.S_IMODE(path.stat().st_mode) for path in (memory, memory.parent)]
        finally:
            os.umask(before)
        assert modes == [0o600, 0o700]
        assert made.health()["connections"] == 1
        assert (verdict(machine, intake).missing, intake.gaps()) == (0, [])

    check(test)


@pytest.mark.parametrize("way", ["nothing_waits", "told_of_it"])
def test_a_transferred_subscription_goes_on_as_servers_of_others_hand_it_over(way: str) -> None:
    """No message waits: some send a null array (open62541). Told of it: node-opcua sends the status change meant for the old session to the new one."""

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        honest_server.WAYS.reactivate = False
        honest_server.WAYS.tells_the_new_session = way == "told_of_it"
        made = source(f"opc.tcp://{proxy.address}/", intake)
        async with running(made):
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            (subscription,) = machine.subscriptions().values()
            await eventually_async(lambda: not subscription._not_acknowledged_results)
            proxy.cut()
            await eventually_async(lambda: not made.health()["connected"])
            proxy.restore()
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            assert (made.health()["connections"], made.health()["resumed"]) == (2, 1)
        assert (verdict(machine, intake).missing, intake.gaps()) == (0, [])

    check(test)


def test_after_a_restart_of_the_server_the_subscription_with_our_number_is_another_clients() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        made = source(f"opc.tcp://{proxy.address}/", intake)
        async with running(made):
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            ours = await restarted_behind_a_cut(machine, made, proxy)
            async with Client(machine.url, timeout=60) as other:
                theirs = await other.create_subscription(100, handler=None)
                assert theirs.subscription_id == ours, "this server does not number them as it did"
                proxy.restore()
                await connected(made)
                await machine.step()
                await all_came(machine, intake)
                assert set(machine.subscriptions()) > {ours}, "it took the other client's subscription"
            assert made.health()["resumed"] == 0
        found = verdict(machine, intake)
        assert (found.doubled, found.missing - found.covered) == (0, 0)

    check(test)


def test_a_server_that_says_nothing_to_the_old_session_hands_its_subscription_over() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        made = source(f"opc.tcp://{proxy.address}/", intake, timeout="3s")
        async with running(made):
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            honest_server.WAYS.answers_the_old = False
            proxy.cut()
            await eventually_async(lambda: not made.health()["connected"])
            await machine.step()
            proxy.restore()
            await eventually_async(lambda: made.health()["resumed"] == 1, 60)
            await machine.step()
            await all_came(machine, intake)
        assert (verdict(machine, intake).missing, intake.gaps()) == (0, [])

    check(test)


def test_a_server_that_gives_its_endpoints_no_url_is_connected_to() -> None:
    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        honest_server.WAYS.names_its_endpoints = False
        async with running(source(machine.url, intake)) as made:
            await connected(made)
            await machine.step()
            await all_came(machine, intake)

    check(test)


def test_after_a_restart_of_the_server_the_session_with_our_token_is_another_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers that count: the session and the subscription with our numbers are both another client's, and both would be taken."""

    async def test(machine: CountingMachine, intake: FakeIntake, proxy: Proxy) -> None:
        monkeypatch.setattr(InternalSession, "_auth_counter", 5000)
        made = source(f"opc.tcp://{proxy.address}/", intake)
        async with running(made):
            await connected(made)
            await machine.step()
            await all_came(machine, intake)
            ours = await restarted_behind_a_cut(machine, made, proxy)
            monkeypatch.setattr(InternalSession, "_auth_counter", 5000)
            async with Client(machine.url, timeout=60) as other:
                theirs = await other.create_subscription(100, handler=None)
                assert theirs.subscription_id == ours, "this server does not number them as it did"
                await machine.step()  # while nobody of ours listens
                proxy.restore()
                await eventually_async(lambda: made.health()["connections"] == 2, 60)
                await machine.step()
                await all_came(machine, intake)
                assert set(machine.subscriptions()) > {ours}, (
                    "the other client's subscription is still there, and ours is another"
                )
            assert made.health()["resumed"] == 0
        found = verdict(machine, intake)
        assert (found.doubled, found.unexplained) == (0, [])
        assert found.missing == found.covered

    check(test)
