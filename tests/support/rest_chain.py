"""A chain of runs made with plain requests, for tests of commands and pages.

first, second = a_chain(server_url, "guide")
"""

import uuid
from typing import Any

import httpx


def a_chain(url: str, function_id: str, links: int = 2) -> list[str]:
    """The ids of runs of a function, oldest first: each restarted as the next one, and the last one is running."""
    worker = f"/api/v1/workers/{uuid.uuid4().hex}"
    with httpx.Client(base_url=url, timeout=30) as http:
        asked(http, "POST", "/api/v1/functions", {"id": function_id})
        asked(http, "POST", f"{worker}/register", {"function_ids": [function_id]})
        asked(http, "POST", f"/api/v1/functions/{function_id}/invoke", {"data": {"link": 0}})
        ids: list[str] = []
        while len(ids) < links:
            (job,) = asked(http, "GET", f"{worker}/jobs?acked=true&wait=10")["jobs"]
            ids.append(job["run_id"])
            report = {
                "status": "completed",
                "execution_seq": job["execution_seq"],
                "lease_token": job["lease_token"],
                "restart": {"data": {"link": len(ids)}},
            }
            if len(ids) < links:
                asked(http, "PUT", f"{worker}/jobs/{job['job_id']}", report)
    return ids


def asked(http: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    answer = http.request(method, path, json=body)
    answer.raise_for_status()
    return answer.json() if answer.content else None
