"""Which Manager: a farm of this computer, or one that the artist knows."""

import os

import bpy
from bpy.props import IntProperty, StringProperty

from . import classes, preferences, runtime
from .lib import certificates, farm_here
from .lib.addresses import is_this_computer, manager_url
from .lib.connection import CONNECT_TIMEOUT_S, Http, Login
from .lib.errors import AddonError, Offline, SetUpError
from .lib.kept_login import HERE
from .lib.manager import Manager
from .session import Visible


def venv_folder():
    """Where the add-on installs the `blendnet` command."""
    return os.path.join(runtime.folder(), "venv")


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
        start = _Start(runtime.get(), self.command or own.command, data, self.agents or own.agents)
        return runtime.finish(self, "set_up", "start the farm", start.run, start.heard, start.visible)


class _Start:
    """The farm of this computer on its way up."""

    def __init__(self, session, command, data, agents):
        self._session = session
        self._command = command
        self._data = os.path.abspath(os.path.expanduser(data))
        self._agents = agents
        self._blender = bpy.app.binary_path
        self.visible = Visible("Starting the farm of this computer")

    def run(self, stop):
        if not farm_here.can_run_here():
            raise SetUpError("a farm cannot run on Windows: use a Manager on another machine")
        command = farm_here.find_command(self._command, venv_folder())
        if not command and self._command:
            raise SetUpError(f"{self._command} is no program: choose the blendnet command in the preferences")
        if not command:
            raise NoCommand("the blendnet command is not on this computer: install it, or name it in the preferences")
        if self._blender and os.path.isfile(self._blender):
            self.visible.step = "Making this Blender known"
            farm_here.know_blender(command, self._blender)
        self.visible.step = "Starting the farm of this computer"
        answer = farm_here.start(command, self._data, self._agents)
        self._session.kept.keep_here(self._data, command)
        return answer

    def heard(self, answer):
        self._session.set_up_changed()
        agents = len(answer.get("agents", []))
        self._session.say(f"The farm of this computer is up with {agents} agent{'s' if agents != 1 else ''}.")
        runtime.look_soon()


class NoCommand(SetUpError):
    """The `blendnet` command has to be installed first."""

    code = "no_command"


class BLENDNET_OT_connect(bpy.types.Operator):
    """Use a Manager on another machine: its address, your user and password"""

    bl_idname = "blendnet.connect"
    bl_label = "A Manager I Know"
    bl_options = {"INTERNAL"}

    address: StringProperty(name="Address", description="https://HOST:PORT of the Manager")
    user: StringProperty(name="User", description="Your name at the Manager", default="owner")
    password: StringProperty(
        name="Password", description="Your password there", subtype="PASSWORD", options={"SKIP_SAVE"}
    )
    password_file: StringProperty(
        name="Password File", description="A file that holds the password, for scripts", options={"SKIP_SAVE", "HIDDEN"}
    )
    ca: StringProperty(
        name="CA Certificate",
        description="The Manager's security/ca.crt as a file; empty: the Manager is asked, and you compare",
        subtype="FILE_PATH",
    )
    fingerprint: StringProperty(
        name="Fingerprint",
        description="SHA-256 of the Manager's certificate, when you have it: then nothing is left to compare",
    )

    def invoke(self, context, event):
        return context.window_manager.invoke_props_dialog(self, width=460)

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        for name in ("address", "user", "password", "fingerprint", "ca"):
            layout.prop(self, name)

    def execute(self, context):
        session = runtime.get()
        try:
            url, password = manager_url(self.address), self.password
            if not is_this_computer(url) and not runtime.online():
                raise Offline(
                    "Blender may not use the internet: switch on Preferences > System > Network > Allow Online Access"
                )
            if self.password_file:
                password = _read(bpy.path.abspath(self.password_file)).strip()
            expected = certificates.normalised(self.fingerprint) if self.fingerprint.strip() else ""
            pem = _read(bpy.path.abspath(self.ca)) if self.ca else ""
            if bpy.app.background and not (expected or pem):
                raise AddonError("name the certificate with ca=FILE or fingerprint=HEX: nobody can compare it here")
        except AddonError as error:
            return runtime.fail(self, error)
        user, confirmed = self.user, bool(expected or pem)

        def ask(stop):
            login = Login(url, pem or certificates.fetch(url, CONNECT_TIMEOUT_S), user, password)
            if expected and certificates.fingerprint(login.ca_pem) != expected:
                found = certificates.spelled(certificates.fingerprint(login.ca_pem))
                raise AddonError(f"{url} is not the Manager of that fingerprint, its own is {found}: nothing was sent")
            if confirmed:
                _try(session, login)
            return login

        heard = _connected if confirmed else _compare
        return runtime.finish(self, "set_up", "connect", ask, heard, Visible(f"Connecting to {url}"))


def _try(session, login):
    """On a worker: log in, and keep what works."""
    http = Http(login, session.online)
    try:
        Manager(http).farm()
    finally:
        http.close()
    session.kept.keep_known(login)


def _connected(login):
    session = runtime.get()
    session.set_up_changed()
    session.say(f"Connected to {login.url}.")
    runtime.look_soon()


def _compare(login):
    session = runtime.get()
    session.pending = login
    session.say("Compare the fingerprint with the one that the Manager's owner gives you.")


class BLENDNET_OT_trust(bpy.types.Operator):
    """The fingerprint is the one that the Manager's owner gave me: log in"""

    bl_idname = "blendnet.trust"
    bl_label = "It Is the Same"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context):
        return runtime.get().pending is not None

    def execute(self, context):
        session = runtime.get()
        login, session.pending = session.pending, None
        visible = Visible(f"Logging in to {login.url}")
        return runtime.finish(self, "set_up", "log in", lambda stop: _try(session, login) or login, _connected, visible)


class BLENDNET_OT_distrust(bpy.types.Operator):
    """The fingerprint is another one: nothing is sent there"""

    bl_idname = "blendnet.distrust"
    bl_label = "It Is Not"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        runtime.get().pending = None
        runtime.get().say("Nothing was sent to that Manager.")
        return {"FINISHED"}


class BLENDNET_OT_forget(bpy.types.Operator):
    """Choose another Manager: this one and its jobs stay as they are, the password kept here is deleted"""

    bl_idname = "blendnet.forget"
    bl_label = "Use Another Manager"
    bl_options = {"INTERNAL"}

    def execute(self, context):
        session = runtime.get()
        session.kept.forget()
        session.set_up_changed()
        session.say("")
        return {"FINISHED"}


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
        visible = Visible("Ending the farm of this computer")
        end = lambda stop: farm_here.stop(about["command"], about["data"])  # noqa: E731
        return runtime.finish(self, "set_up", "stop the farm", end, heard, visible)


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise AddonError(f"cannot read {path} ({error.strerror}): choose another file") from error


CLASSES = (
    BLENDNET_OT_use_this_computer,
    BLENDNET_OT_connect,
    BLENDNET_OT_trust,
    BLENDNET_OT_distrust,
    BLENDNET_OT_forget,
    BLENDNET_OT_stop_farm,
)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)
