"""A part of Google's price catalog, in the words and shapes of the real one. The prices are examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ON_DEMAND, SPOT, IOWA = "OnDemand", "Preemptible", "us-central1"
ROWS = [
    # description, usage, resource group, unit, US dollars, region
    ("E2 Instance Core running in Americas", ON_DEMAND, "CPU", "h", 0.02181159, IOWA),
    ("E2 Instance Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 0.00292353, IOWA),
    ("Spot Preemptible E2 Instance Core running in Americas", SPOT, "CPU", "h", 0.00654, IOWA),
    ("Spot Preemptible E2 Instance Ram running in Americas", SPOT, "RAM", "GiBy.h", 0.00088, IOWA),
    ("N2D AMD Instance Core running in Americas", ON_DEMAND, "CPU", "h", 0.027502, IOWA),
    ("N2D AMD Instance Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 0.003686, IOWA),
    ("Spot Preemptible N2D AMD Instance Core running in Americas", SPOT, "CPU", "h", 0.0031, IOWA),
    ("Spot Preemptible N2D AMD Instance Ram running in Americas", SPOT, "RAM", "GiBy.h", 0.0004, IOWA),
    ("N2D AMD Custom Instance Core running in Americas", ON_DEMAND, "CPU", "h", 0.9, IOWA),
    ("N2D AMD Sole Tenancy Instance Core running in Americas", ON_DEMAND, "CPU", "h", 0.8, IOWA),
    ("Spot Preemptible N2D AMD Custom Instance Core running in Americas", SPOT, "CPU", "h", 0.7, IOWA),
    ("Commitment v1: N2D AMD Cpu in Americas for 1 Year", "Commit1Yr", "CPU", "h", 0.6, IOWA),
    ("Compute optimized Core running in Americas", ON_DEMAND, "CPU", "h", 0.03398, IOWA),
    ("Compute optimized Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 0.00455, IOWA),
    ("Spot Preemptible Compute optimized Core running in Americas", SPOT, "CPU", "h", 0.0101, IOWA),
    ("Spot Preemptible Compute optimized Ram running in Americas", SPOT, "RAM", "GiBy.h", 0.0013, IOWA),
    ("T2A Arm Instance Core running in Americas", ON_DEMAND, "CPU", "h", 0.025, IOWA),
    ("T2A Arm Instance Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 0.0034, IOWA),
    ("G2 Instance Core running in Americas", ON_DEMAND, "CPU", "h", 0.024988, IOWA),
    ("G2 Instance Ram running in Americas", ON_DEMAND, "RAM", "GiBy.h", 0.002927, IOWA),
    ("Nvidia L4 GPU running in Americas", ON_DEMAND, "GPU", "h", 0.560040, IOWA),
    ("Spot Preemptible G2 Instance Core running in Americas", SPOT, "CPU", "h", 0.01, IOWA),
    ("Spot Preemptible G2 Instance Ram running in Americas", SPOT, "RAM", "GiBy.h", 0.0012, IOWA),
    ("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", SPOT, "GPU", "h", 0.224, IOWA),
    ("N2D AMD Instance Core running in London", ON_DEMAND, "CPU", "h", 0.0354, "europe-west2"),
    ("Storage PD Capacity", ON_DEMAND, "PDStandard", "GiBy.mo", 0.04, IOWA),
    ("E2 Instance Core running in Free Land", ON_DEMAND, "CPU", "h", 0.0, "us-east9"),
]  # fmt: skip


Row = tuple[str, str, str, str, float, str]


def _sku(number: int, row: Row) -> dict[str, Any]:
    description, usage, group, unit, usd, region = row
    units, nanos = divmod(round(usd * 1e9), 10**9)
    family = "Storage" if group == "PDStandard" else "Compute"
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": str(units), "nanos": nanos}}
    return {
        "name": f"services/6F81-5844-456A/skus/AAAA-BBBB-{number:04X}",
        "skuId": f"AAAA-BBBB-{number:04X}",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine", "resourceFamily": family,
            "resourceGroup": group, "usageType": usage,
        },
        "serviceRegions": [region],
        "pricingInfo": [
            {"effectiveTime": "2026-11-26T08:00:00Z", "pricingExpression": {"usageUnit": unit, "tieredRates": [rate]}}
        ],
    }  # fmt: skip


def catalog(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The SKUs of these rows."""
    return [_sku(number, row) for number, row in enumerate(rows)]


SKUS = catalog(ROWS)
