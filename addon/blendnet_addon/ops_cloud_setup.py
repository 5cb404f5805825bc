"""A farm in a cloud is set up: the account checked, prices asked, the Manager made."""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import classes, ops_here, preferences, runtime
from .cloud_form import MARKETS, PROVIDERS
from .cloud_making import Creation, confirmation
from .lib import cloud, cloud_choices
from .lib.errors import AddonError, SetUpError
from .session import Visible

FORM = ("FORM", "As Chosen", "As the form in the panel says")
AS_FORM = "; left out: as the form in the panel says"


def farm_of(command, data):
    """(lib.cloud.Farm, its data folder) by the command of the preferences. Raises AddonError."""
    runtime.check_online()
    own = preferences.of(bpy.context)
    return cloud.Farm(ops_here.find_command(command or own.command), cloud.folder(bpy.path.abspath(data)))


class OfPlace:
    """Properties that say which cloud; empty ones are as in the form."""

    provider: EnumProperty(name="Cloud", description="Who gives machines" + AS_FORM, items=(FORM,) + PROVIDERS)
    account: StringProperty(name="Account", description="AWS: profile; Google Cloud: project" + AS_FORM)
    region: StringProperty(name="Region", description="Name of the region" + AS_FORM)
    options: StringProperty(name="Options", description="More of the provider, as 'vpc=vpc-1; subnets=subnet-1'")
    command: StringProperty(name="Command", description="The blendnet program; empty: as the preferences say")
    data: StringProperty(name="Folder", description="The farm's folder; empty: its usual place")

    def _place(self, form):
        """Raises AddonError."""
        named = self.provider != FORM[0]
        provider = self.provider if named else form.provider
        mine = provider == form.provider
        account = self.account or (form.account if mine else "")
        return cloud_choices.Place(provider, self.region or (form.region if mine else ""), account, self.options)


class BLENDNET_OT_choose_cloud(bpy.types.Operator):
    """Have the farm in your own cloud account: check it, choose machines and limits, see what it costs"""

    bl_idname = "blendnet.choose_cloud"
    bl_label = "A Cloud"
    bl_options = {"INTERNAL"}

    back: BoolProperty(name="Back", description="Choose something else", options={"SKIP_SAVE"})

    def execute(self, context):
        seen = runtime.get().cloud
        seen.form_open = not self.back
        seen.note = cloud.note(cloud.folder(""))
        runtime.get().say("")
        return {"FINISHED"}


class BLENDNET_OT_cloud_check(OfPlace, bpy.types.Operator):
    """Check all that stands between this computer and the cloud, and ask for its machines and prices. Makes nothing"""

    bl_idname = "blendnet.cloud_check"
    bl_label = "Check the Account"
    bl_options = {"INTERNAL"}

    prices: BoolProperty(name="Prices", description="Ask for machine types and prices, too", default=True)

    def execute(self, context):
        try:
            place = self._place(preferences.of(context).cloud)
            farm = farm_of(self.command, self.data)
        except AddonError as error:
            return runtime.fail(self, error)
        visible = Visible(f"Checking your account at {place.words}")
        seen, prices = runtime.get().cloud, self.prices
        seen.leave()

        def check(stop):
            checks = farm.check(place, stop)
            types = []
            if prices and all(found["state"] != "problem" for found in checks):
                visible.step = f"Asking {place.words} for machines and prices"
                types = farm.types(place, stop)
            return checks, types

        def heard(result):
            seen.checks, seen.types = result
            seen.types_of = place if seen.types else None
            runtime.get().say("")

        outcome = runtime.finish(self, "set_up", "check", check, heard, visible)
        if bpy.app.background and seen.checks is not None:
            return _print_checks(self, seen)
        return outcome


def _print_checks(operator, seen):
    """Without a window: a line of JSON for each check; a problem is the operator's failure."""
    for found in seen.checks:
        classes.tell(found)
    for found in seen.problems():
        if found["state"] == "problem":
            return runtime.fail(operator, SetUpError(f"{found['name']}: {found['message']} -> {found['help']}"))
    return {"FINISHED"}


class BLENDNET_OT_copy(bpy.types.Operator):
    """Copy this to the clipboard, for a terminal or a browser"""

    bl_idname = "blendnet.copy"
    bl_label = "Copy"
    bl_options = {"INTERNAL"}

    text: StringProperty(name="Text", description="What is copied")

    def execute(self, context):
        context.window_manager.clipboard = self.text
        return {"FINISHED"}


class BLENDNET_OT_use_cloud(OfPlace, bpy.types.Operator):
    """Make the farm's Manager in the cloud, or go on with the one that is there, and use it"""

    bl_idname = "blendnet.use_cloud"
    bl_label = "Create the Farm"
    bl_options = {"INTERNAL"}

    machine: StringProperty(name="Machine", description="Type of the agents" + AS_FORM)
    agents: IntProperty(name="At Most", description="Most machines of agents; 0: as the form", default=0, min=0)
    market: EnumProperty(name="Price", description="Cheap machines or safe ones" + AS_FORM, items=(FORM,) + MARKETS)
    cap_hour: FloatProperty(name="Cap of an Hour", description="US dollars; 0: none; -1: as the form", default=-1.0)
    cap_day: FloatProperty(name="Cap of a Day", description="US dollars; 0: none; -1: as the form", default=-1.0)
    cap_job: FloatProperty(name="Cap of a Job", description="US dollars; 0: none; -1: as the form", default=-1.0)
    allow: StringProperty(
        name="Reached by", description="Who may reach the Manager: everyone, mine, or networks with commas" + AS_FORM
    )
    manager_machine: StringProperty(name="Manager", description="Type of the Manager's own machine" + AS_FORM)

    def invoke(self, context, event):
        try:
            self._words = confirmation(*self._read(context)[:2])
        except AddonError as error:
            return runtime.fail(self, error)
        return context.window_manager.invoke_props_dialog(self, width=460)

    def draw(self, context):
        column = self.layout.column()
        for icon, text in self._words:
            column.label(text=text, icon=icon)

    def execute(self, context):
        try:
            place, wanted, cap_job, reach = self._read(context)
            farm = farm_of(self.command, self.data)
        except AddonError as error:
            return runtime.fail(self, error)
        creation = Creation(runtime.get(), farm, place, wanted, cap_job, reach)
        return runtime.finish(self, "set_up", "make the farm", creation.run, creation.heard, creation)

    def _read(self, context):
        """(Place, Wanted, cap of a job, who may reach it). Raises AddonError."""
        form = preferences.of(context).cloud
        noted = cloud.note(cloud.folder(bpy.path.abspath(self.data)))
        # A farm that has answered before stays as it is, but for what is named here.
        fresh = noted is None or not noted.get("url") or runtime.get().cloud.begun is not None
        if noted is not None and not self.region and self.provider == FORM[0]:
            # What was begun goes on where it was begun; to a farm that answers no option is said again.
            told = noted if fresh else dict(noted, options={})
            place = cloud_choices.Place.of_note(told, self.options)
        else:
            place = self._place(form)
        mine = fresh and place.provider == form.provider
        wanted = cloud_choices.Wanted(
            self.machine or (form.machine if mine else ""),
            self.agents or (form.agents if fresh else 0),
            self.market if self.market != FORM[0] else form.market if fresh else "",
            _or(self.cap_hour, form.cap_hour if fresh else 0.0),
            _or(self.cap_day, form.cap_day if fresh else 0.0),
            self.manager_machine or (form.manager_machine if mine else ""),
        )
        return place, wanted, _or(self.cap_job, form.cap_job), self.allow or (form.reach() if fresh else "")


def _or(value, otherwise):
    return otherwise if value < 0 else value


CLASSES = (BLENDNET_OT_choose_cloud, BLENDNET_OT_cloud_check, BLENDNET_OT_copy, BLENDNET_OT_use_cloud)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)
