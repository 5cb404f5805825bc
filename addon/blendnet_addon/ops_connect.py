"""A Manager that the artist knows: its address, its certificate, a login."""

import bpy
from bpy.props import StringProperty

from . import classes, runtime
from .lib import certificates
from .lib.addresses import is_this_computer, manager_url
from .lib.connection import CONNECT_TIMEOUT_S, Http, Login
from .lib.errors import AddonError
from .lib.kept_login import KNOWN
from .lib.manager import Manager
from .lib.waiting import until_stopped
from .session import Visible


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
        session = runtime.get()
        if not self.address and session.tried is not None:
            self.address, self.user = session.tried
        elif not self.address and session.about is not None and session.about["kind"] == KNOWN:
            self.address, self.user = session.about["url"], session.about["user"]
        return context.window_manager.invoke_props_dialog(self, width=460)

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        for name in ("address", "user", "password", "fingerprint", "ca"):
            layout.prop(self, name)

    def execute(self, context):
        session = runtime.get()
        session.tried = self.address, self.user
        try:
            url, password = manager_url(self.address), self.password
            if not is_this_computer(url):
                runtime.check_online()
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
            shown = pem or until_stopped(stop, certificates.fetch, url, CONNECT_TIMEOUT_S)
            login = Login(url, shown, user, password)
            if expected and certificates.fingerprint(login.ca_pem) != expected:
                found = certificates.spelled(certificates.fingerprint(login.ca_pem))
                raise AddonError(f"{url} is not the Manager of that fingerprint, its own is {found}: nothing was sent")
            if confirmed:
                _try(session, login, stop)
            return login

        heard = _connected if confirmed else _compare
        return runtime.finish(self, "set_up", "connect", ask, heard, Visible(f"Connecting to {url}"))


def _try(session, login, stop):
    """On a worker: log in, and keep what works."""
    http = Http(login, session.online)
    try:
        Manager(http, stop).farm()
    finally:
        http.abort()
    session.kept.keep_known(login)


def _connected(login):
    session = runtime.get()
    session.set_up_changed()
    session.say(f"Connected to {login.url}. {session.kept.note}".rstrip())
    runtime.look_soon()


def _compare(login):
    session = runtime.get()
    session.pending = login
    session.say("")


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
        return runtime.finish(
            self, "set_up", "log in", lambda stop: _try(session, login, stop) or login, _connected, visible
        )


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
        rest = session.kept.forget()
        session.set_up_changed()
        session.say("")
        return runtime.finish(self, "set_up", "forget", rest)


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise AddonError(f"cannot read {path} ({error.strerror}): choose another file") from error


CLASSES = (BLENDNET_OT_connect, BLENDNET_OT_trust, BLENDNET_OT_distrust, BLENDNET_OT_forget)


def register():
    classes.register_all(CLASSES)


def unregister():
    classes.unregister_all(CLASSES)
