"""A farm in a cloud, set up in a real window: the form, a creation that is stopped, the farm, its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms, manager_life
from tests.end_to_end.aws_box import Aws
from tests.end_to_end.manager_box import boxed_managers
from tests.provision.moto_server import REGION, FakeAws, environment, running_aws
from tests.ui.conftest import HERE
from tests.ui.window import blender

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.matrix,  # Two minutes, and test_addon_cloud.py proves the same without a window.
    pytest.mark.timeout(900),
    pytest.mark.parametrize("window_build", [HERE], indirect=True),
]
OPTIONS = "image=ami-12c6146b; manager_image=ami-12c6146b; prices=c5.large/spot=0.036, m6i.large=0.115"
QUOTAS = {"L-34B43A08": 256.0, "L-3819A6DF": 64.0, "L-1216C47A": 64.0, "L-DB2E81BA": 0.0}
PRICES = {"c7i.4xlarge": 0.857, "c6i.4xlarge": 0.776, "m6i.4xlarge": 0.92}
"""On demand, of an hour."""
OPEN_FARM = """
kind = bpy.types.BLENDNET_PT_farm
bpy.utils.unregister_class(kind)
kind.bl_options = set()
bpy.utils.register_class(kind)
"""
"""The Farm panel is open when it is drawn first."""
CHOOSE = f"""
form = bpy.context.preferences.addons["blendnet_addon"].preferences.cloud
form.provider, form.region, form.allow = "aws", {REGION!r}, "everyone"
"""
CHOOSE_MACHINE = """
form = bpy.context.preferences.addons["blendnet_addon"].preferences.cloud
form.market, form.machine_item, form.cap_hour = "always", "c6i.4xlarge", 5.0
"""
HEARD_S = 180
"""A Manager without jobs counts what it costs once a minute, and the add-on asks the more seldom the less there is."""
ENDED = 5
"""Exit status of a Manager that was told to end."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """A fake AWS with TLS, to which every process that the test starts is sent."""
    with running_aws(tmp_path / "tls") as fake:
        owners = {"BLENDNET_CLOUD_OPTIONS": OPTIONS, "BLENDNET_MANAGER_IDLE_S": "600"}
        for name, value in {**environment(fake), **owners}.items():
            monkeypatch.setenv(name, value)
        fake.quotas = QUOTAS
        fake.list_prices = PRICES
        for name, usd in PRICES.items():
            for zone in "abc":
                fake.spot_prices[(name, f"{REGION}{zone}")] = [(usd * 0.38, 0.0)]
        yield fake


def test_farm_in_a_cloud_is_made_stopped_midway_made_stopped_started_and_removed(
    display: str,
    aws: FakeAws,
    window_build: Build,
    path_with_blendnet: str,
    zip_file: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "blender"
    folder.mkdir()
    scene = farms.prepare(window_build, "", tmp_path / "shot.blend", size=(96, 64), samples=8)
    own = {"BLENDNET_DATA": str(tmp_path / "data" / "farm"), "PATH": path_with_blendnet}
    with (
        boxed_managers(Aws(aws), tmp_path / "managers", **manager_life.QUICK) as managers,
        blender(
            window_build, display, folder, scene=scene, output=tmp_path / "out", zip_file=zip_file, **own
        ) as window,
    ):
        window.photograph(pictures / "addon-set-up.png", "526x312+530+44")
        window.do(OPEN_FARM)
        window.click_button(2, lines=1)
        window.do(CHOOSE)
        window.do("bpy.ops.blendnet.cloud_check()")
        window.wait(lambda state: state["cloud"]["checked"], "the account is checked", 200)
        window.do(CHOOSE_MACHINE)
        window.photograph(pictures / "addon-cloud.png", "526x740+530+44")
        window.act("bpy.ops.blendnet.use_cloud('INVOKE_DEFAULT')")
        window.photograph(pictures / "addon-cloud-create.png", "494x180+776+708")
        window.press("Return")
        window.wait(lambda state: state["under_way"], "the farm is being made")
        farms.wait_until(lambda: aws.made("CreateSecurityGroup"), "something is made in the account", 60)
        window.do("bpy.ops.blendnet.stop()")
        begun = window.wait(lambda state: not state["under_way"], "it is stopped")
        assert not begun["set_up"]
        assert [name for name in begun["cloud"]["begun"] if name.startswith("security group")]
        window.photograph(pictures / "addon-cloud-begun.png", "526x373+530+44")

        window.do("bpy.ops.blendnet.use_cloud()")
        made = window.wait(lambda state: state["set_up"], "the Manager answers", 120)
        assert "The Manager answers at https://127.0.0." in made["message"]
        window.wait(lambda state: state["cloud"]["heard"], "the add-on has heard of it", HEARD_S)
        window.photograph(pictures / "addon-cloud-farm.png", "526x710+530+44")
        window.act("bpy.ops.blendnet.cloud_status(text=True)")
        window.wait(
            lambda state: "answers at https://" in state["texts"].get("BlendNet Log", ""), "its status is shown"
        )
        window.close_top()
        window.do("bpy.ops.blendnet.cloud_stop()")
        window.wait(lambda state: state["cloud"]["state"] == "stopped" and state["problem"], "it is stopped", 120)
        window.photograph(pictures / "addon-cloud-stopped.png", "526x800+530+44")
        window.do("bpy.ops.blendnet.cloud_start()")
        window.wait(lambda state: state["problem"] is None and state["cloud"]["heard"], "it is back", HEARD_S)
        window.act("bpy.ops.blendnet.cloud_destroy('INVOKE_DEFAULT')")
        window.photograph(pictures / "addon-cloud-destroy.png", "494x136+776+752")
        window.press("Return")
        gone = window.wait(lambda state: not state["set_up"], "all is gone", 120)
        assert gone["message"] == "Nothing of the farm is left in the cloud."
        window.quit()
    assert [machine for machine in aws.machines() if machine.ended_at is None] == []
    assert (managers.trouble, managers.ended) == ("", [ENDED, ENDED])
    farms.wait_until(lambda: not farms.processes_mentioning(tmp_path), "nothing is left running", 20)
