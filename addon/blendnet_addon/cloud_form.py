"""What the artist chooses for a farm in a cloud. Kept among the preferences: nothing of it is secret, or in a file."""

import zlib

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import classes, runtime
from .lib import cloud_choices
from .lib.cloud_choices import CHEAP, EVERYONE, FALLBACK, FULL, MINE

NETWORKS = "networks"
PROVIDERS = (
    ("aws", "AWS", "Amazon Web Services, with the account that the AWS tools know on this computer"),
    ("gcp", "Google Cloud", "Google Cloud, with the login that gcloud keeps on this computer"),
)
MARKETS = (
    (FALLBACK, "Cheap, else Full Price", "Spot machines, which may be taken away; full price while there are none"),
    (CHEAP, "Cheap Alone", "Spot machines, which may be taken away; jobs wait while there are none"),
    (FULL, "Full Price", "On demand: nobody takes them away, at two to four times the price"),
)  # fmt: skip
REACH = (
    (EVERYONE, "Everyone", "Any address may reach it; the password and its certificate protect it"),
    (MINE, "This Computer", "Only the address that this computer has on the internet now"),
    (NETWORKS, "Networks", "Only the networks that you name"),
)
SIZES = tuple((str(n), str(n), f"Machines with {n} vCPU, and those with less than {2 * n}") for n in (4, 8, 16, 32, 64))
AUTOMATIC = ("", "Automatic: the cheapest of the moment", "BlendNet takes what is cheapest by vCPU when a job comes")
_kept_texts = {}
"""Blender does not keep the texts of menus: whoever made them has to."""


def _keep(text):
    return _kept_texts.setdefault(text, text)


def _number(name):
    """A machine type's number in its menu: the same in every list."""
    return zlib.crc32(name.encode("utf-8")) & 0x7FFFFFFF if name else 0


def _machines(form, context=None):
    """[(type, label, description)] of the menu."""
    seen = runtime.get().cloud
    entries = cloud_choices.menu_of(seen.types, int(form.vcpus), form.gpu, form.market)
    found = [AUTOMATIC]
    for entry in entries:
        found.append((entry["name"], cloud_choices.label(entry, form.market), "Agents are machines of this type"))
    if form.machine not in [name for name, _, _ in found]:
        found.append((form.machine, form.machine, "Chosen before"))
    return found


def _machine_items(form, context):
    return [
        (_keep(name or "AUTOMATIC"), _keep(label), _keep(about), "NONE", _number(name))
        for name, label, about in _machines(form)
    ]


def _get_machine(form):
    return _number(form.machine)


def _set_machine(form, number):
    form.machine = next((name for name, _, _ in _machines(form) if _number(name) == number), "")


def _region_items(form, context):
    return [(_keep(name or "NONE"), _keep(label), "", "NONE", _number(name)) for name, label in _regions(form)]


def _regions(form):
    usual = cloud_choices.REGIONS[form.provider]
    return [(name, name or "Choose") for name in (() if form.region in usual else (form.region,)) + usual]


def _get_region(form):
    return _number(form.region)


def _set_region(form, number):
    form.region = next(name for name, _ in _regions(form) if _number(name) == number)


def _other_place(form, context):
    """What was seen of another cloud says nothing of this one."""
    runtime.get().cloud.leave()


def _other_provider(form, context):
    form.region, form.account = "", ""
    form.machine = form.manager_machine = ""
    _other_place(form, context)


class BlendNetCloudForm(bpy.types.PropertyGroup):
    """A farm in a cloud, as it is to be."""

    provider: EnumProperty(name="Cloud", description="Who gives machines", items=PROVIDERS, update=_other_provider)
    account: StringProperty(
        name="Account", description="AWS: profile of its configuration; empty: the usual one. Google Cloud: project",
        update=_other_place,
    )  # fmt: skip
    region: StringProperty(name="Region", description="Name of the region", update=_other_place)
    region_item: EnumProperty(
        name="Region", description="Where the machines are: near you, or where they are cheap", items=_region_items,
        get=_get_region, set=_set_region,
    )  # fmt: skip
    vcpus: EnumProperty(name="vCPU", description="Size of the machines that the list shows", items=SIZES, default="16")
    gpu: BoolProperty(name="With GPU", description="List machines with a GPU instead")
    machine: StringProperty(name="Machine", description="Type of the agents; empty: the cheapest of the moment")
    machine_item: EnumProperty(
        name="Machine", description="Type of the agents, with the price of an hour", items=_machine_items,
        get=_get_machine, set=_set_machine,
    )  # fmt: skip
    agents: IntProperty(name="At Most", description="Most machines of agents at once", default=4, min=1, max=1000)
    market: EnumProperty(name="Price", description="Cheap machines or safe ones", items=MARKETS)
    cap_hour: FloatProperty(
        name="Cap of an Hour", description="Most that machines may cost in an hour, in US dollars: none that is dearer "
        "than its share is asked for. 0: no cap", default=0.0, min=0.0, max=1e6, precision=2,
    )  # fmt: skip
    cap_day: FloatProperty(
        name="Cap of a Day", description="Most that everything may cost from midnight to midnight (UTC), in US "
        "dollars; then jobs wait. 0: no cap", default=20.0, min=0.0, max=1e6, precision=2,
    )  # fmt: skip
    cap_job: FloatProperty(
        name="Cap of a Job", description="Most that a job may cost whose scene says nothing else, in US dollars. "
        "0: no cap", default=5.0, min=0.0, max=1e6, precision=2,
    )  # fmt: skip
    allow: EnumProperty(name="Reached by", description="Who may reach the Manager", items=REACH)
    networks: StringProperty(
        name="Networks", description="Networks that may reach the Manager, such as 203.0.113.7/32, 198.51.100.0/24"
    )
    manager_machine: StringProperty(
        name="Manager", description="Type of the Manager's own machine; empty: a small one. It renders nothing"
    )

    def reach(self):
        """EVERYONE, MINE or networks."""
        return self.networks if self.allow == NETWORKS else self.allow


CLASSES = (BlendNetCloudForm,)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)
