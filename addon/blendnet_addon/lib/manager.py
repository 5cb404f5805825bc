"""What the add-on asks a Manager: one method per call of docs/api.md, answers as the API gives them."""

from urllib.parse import quote

from .waiting import Stoppable


class Manager:
    """Calls of an owner of jobs. Raises as connection.Http."""

    def __init__(self, http, stop=None):
        """`stop`: an event; once it is set no question waits for its answer any more: Stopped is raised.

        What changes a job waits all the same: whoever stops has to know whether there is one that renders and costs.
        """
        self.http = http if stop is None else Stoppable(http, stop)
        self._sure = http

    @property
    def url(self):
        return self.http.login.url

    def farm(self):
        """The whole farm at a glance: version, agents, jobs."""
        return self.http.get("/v1/farm")

    def missing(self, blobs):
        """{sha256: bytes that are there already} of those of [(sha256, size)] that the Manager lacks."""
        wanted = [{"sha256": sha256, "size_bytes": size} for sha256, size in blobs]
        answer = self.http.post("/v1/blobs/missing", {"blobs": wanted})
        return {entry["sha256"]: entry["received_bytes"] for entry in answer["missing"]}

    def check(self, settings, description, scene_path=""):
        """How the farm would render such a job: strategy, exactness, reasons, warnings. Nothing is sent for that."""
        body = {"settings": settings, "description": description, "scene_path": scene_path}
        return self.http.post("/v1/jobs/check", body)

    def estimate(self, settings, description, tree, scene_path=""):
        """What such a job will take, by what the Manager knows of these files: 'state' says whether it does."""
        body = {"settings": settings, "description": description, "tree": tree, "scene_path": scene_path}
        return self.http.post("/v1/jobs/estimate", body)

    def probe(self, submission, frames=1):
        """Let a few samples of a job be rendered; the probe, as a job."""
        return self._sure.post("/v1/jobs/probe", dict(submission, probe_frames=frames))

    def submit(self, submission):
        return self._sure.post("/v1/jobs", submission)

    def jobs(self):
        return self.http.get("/v1/jobs")

    def job(self, job_id):
        return self.http.get(_job(job_id))

    def frames(self, job_id, after=-1, limit=None):
        """A page of frames behind position `after`."""
        return self.http.get(_job(job_id) + "/frames", after=after, limit=limit)

    def frame(self, job_id, number):
        return self.http.get(f"{_job(job_id)}/frames/{number}")

    def results(self, job_id, frame=None):
        """Files that are ready, of one frame or of all."""
        return self.http.get(_job(job_id) + "/results", frame=frame)

    def events(self, job_id, after=0):
        """A page of the job's log behind the line with id `after`."""
        return self.http.get(_job(job_id) + "/events", after=after)

    def preview(self, job_id, frame):
        """Newest picture of a frame in progress: an EXR with linear values, for the scene's own view transform."""
        return self.http.send("GET", f"{_job(job_id)}/frames/{frame}/preview", params={"format": "exr"})

    def steer(self, job_id, verb):
        """`verb`: 'pause', 'resume', 'cancel' or 'retry'; the job as it is then."""
        return self._sure.post(f"{_job(job_id)}/{verb}")

    def set_priority(self, job_id, priority):
        return self._sure.post(_job(job_id) + "/priority", {"priority": priority})

    def set_cap(self, job_id, usd):
        """The most the job may cost; 0: anything."""
        return self._sure.post(_job(job_id) + "/cap", {"usd": usd})

    def remove(self, job_id):
        """Forget a job that has ended, with its files."""
        self._sure.json("DELETE", _job(job_id))

    def agents(self):
        return self.http.get("/v1/agents")

    def add_agents(self, count):
        return self._sure.post("/v1/agents", {"count": count})["names"]

    def remove_agent(self, name):
        self._sure.json("DELETE", "/v1/agents/" + quote(name, safe=""))


def _job(job_id):
    return "/v1/jobs/" + quote(job_id, safe="")
