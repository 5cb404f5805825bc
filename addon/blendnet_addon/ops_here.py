"""The farm of this computer: started, stopped, and its program installed."""

import os

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty

from . import classes, preferences, runtime
from .in_blender.describe import version
from .lib import farm_here, install
from .lib.errors import AddonError, SetUpError
from .lib.kept_login import HERE
from .lib.words import plural
from .session import IN_USE, Visible

PROGRAM = os.path.join(os.path.dirname(__file__), "program")
"""What the build puts beside us: the `blendnet` command as a wheel."""


def venv_folder():
    """Where the add-on installs the `blendnet` command."""
    return os.path.join(runtime.folder(), "venv")


class NoCommand(SetUpError):
    """The `blendnet` command has to be installed first."""

    code = "no_command"


class WrongCommand(SetUpError):
    """What the preferences name is not the `blendnet` command."""

    code = "wrong_command"


def find_command(wanted):
    """Path of the `blendnet` command. On the main thread. Raises WrongCommand, NoCommand."""
    command = farm_here.find_command(wanted, venv_folder())
    if not command and wanted:
        raise WrongCommand(f"{wanted} is no program: choose the blendnet command in the preferences, or name none")
    if not command:
        raise NoCommand("the blendnet command is not on this computer: install it, or name it in the preferences")
    return command


class BLENDNET_OT_use_this_computer(bpy.types.Operator):
    """Render on this computer: start BlendNet's farm here, or join the one that runs"""

    bl_idname = "blendnet.use_this_computer"
    bl_label = "This Computer"
    bl_options = {"INTERNAL"}

    command: StringProperty(name="Command", description="The blendnet program; empty: as the preferences say")
    data: StringProperty(name="Folder", description="The farm's folder; empty: as the preferences say")
    agents: IntProperty(name="Agents", description="0: as the preferences say", default=0, min=0, max=64)

    def execute(self, context):
        own = preferences.of(context)
        data = bpy.path.abspath(self.data or own.data) or farm_here.default_data()
        try:
            if not farm_here.can_run_here():
                raise SetUpError("a farm cannot run on Windows: use a Manager on another machine")
            command = find_command(self.command or own.command)
        except AddonError as error:
            return runtime.fail(self, error)
        start = _Start(runtime.get(), command, data, self.agents or own.agents)
        return runtime.finish(self, "set_up", "start the farm", start.run, start.heard, start.visible)


class _Start:
    """The farm of this computer on its way up."""

    def __init__(self, session, command, data, agents):
        self._session = session
        self._command = command
        self._data = os.path.abspath(os.path.expanduser(data))
        self._agents = agents
        self._blender, self._version = bpy.app.binary_path, version()
        self.visible = Visible("Starting the farm of this computer")

    def run(self, stop):
        known = bool(self._blender) and os.path.isfile(self._blender)
        if known:
            self.visible.step = "Making this Blender known"
            farm_here.know_blender(self._command, self._blender, stop)
        self.visible.step = "Starting the farm of this computer"
        answer = farm_here.start(self._command, self._data, self._agents, stop)
        self._session.kept.keep_here(self._data, self._command)
        if known and answer.get("agents"):
            self.visible.step = "Waiting until the agents know this Blender"
            farm_here.wait_until_told(lambda: self._session.manager(stop).agents(), self._version, stop)
        return answer

    def heard(self, answer):
        self._session.set_up_changed()
        agents = sum(agent["state"] in IN_USE for agent in answer.get("agents", []))
        self._session.say(f"The farm of this computer is up with {plural(agents, 'agent')}.")
        runtime.look_soon()


class BLENDNET_OT_install(bpy.types.Operator):
    """Download what BlendNet needs (300 MB on disk) into Blender's configuration folder, and go on"""

    bl_idname = "blendnet.install"
    bl_label = "Install BlendNet Here"
    bl_options = {"INTERNAL"}

    consent: BoolProperty(
        name="Download and Install",
        description="What is downloaded is held against fixed hashes",
        options={"SKIP_SAVE"},
    )
    clouds: BoolProperty(
        name="For Clouds",
        description="With the libraries of AWS and Google Cloud (450 MB on disk); then the account is checked",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context, event):
        return context.window_manager.invoke_props_dialog(self, width=460)

    def draw(self, context):
        column = self.layout.column()
        for line in (
            f"The blendnet command and its parts ({450 if self.clouds else 300} MB on disk) are downloaded",
            "from PyPI into an environment of their own:",
            venv_folder(),
        ):
            column.label(text=line)
        column.prop(self, "consent")

    def execute(self, context):
        try:
            if not self.consent:
                raise SetUpError("nothing was installed: tick Download and Install when you agree")
            runtime.check_online()
        except AddonError as error:
            return runtime.fail(self, error)
        installation = install.Installation(venv_folder(), PROGRAM, self.clouds)
        heard = _installed_for_clouds if self.clouds else _installed
        return runtime.finish(self, "set_up", "install", installation.run, heard, installation)


def _installed(command):
    runtime.get().say("BlendNet is installed.")
    bpy.ops.blendnet.use_this_computer(command=command)


def _installed_for_clouds(command):
    runtime.get().say("BlendNet is installed, with what clouds need.")
    if not bpy.app.background:
        bpy.ops.blendnet.cloud_check(command=command)


class BLENDNET_OT_stop_farm(bpy.types.Operator):
    """End the farm of this computer; unfinished jobs keep what they have and go on when it is started again"""

    bl_idname = "blendnet.stop_farm"
    bl_label = "Stop the Farm"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        about = runtime.get().about
        return about is not None and about["kind"] == HERE

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context):
        about = runtime.get().about
        heard = lambda _: (runtime.get().say("The farm of this computer is down."), runtime.look_soon())  # noqa: E731
        visible = Visible("Ending the farm of this computer", can_stop=False)
        end = lambda stop: farm_here.end(about["command"], about["data"])  # noqa: E731
        return runtime.finish(self, "set_up", "stop the farm", end, heard, visible)


CLASSES = (BLENDNET_OT_use_this_computer, BLENDNET_OT_install, BLENDNET_OT_stop_farm)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)
