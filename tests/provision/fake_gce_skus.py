"""A part of Google's price catalog, in the words and shapes of the real one. The prices are examples."""

from __future__ import annotations

from typing import Any

ROWS = [
    # description, usage, resource group, unit, US dollars, region
    ("E2 Instance Core running in Americas", "OnDemand", "CPU", "h", 0.02181159, "us-central1"),
    ("E2 Instance Ram running in Americas", "OnDemand", "RAM", "GiBy.h", 0.00292353, "us-central1"),
    ("Spot Preemptible E2 Instance Core running in Americas", "Preemptible", "CPU", "h", 0.00654, "us-central1"),
    ("Spot Preemptible E2 Instance Ram running in Americas", "Preemptible", "RAM", "GiBy.h", 0.00088, "us-central1"),
    ("N2D AMD Instance Core running in Americas", "OnDemand", "CPU", "h", 0.027502, "us-central1"),
    ("N2D AMD Instance Ram running in Americas", "OnDemand", "RAM", "GiBy.h", 0.003686, "us-central1"),
    ("Spot Preemptible N2D AMD Instance Core running in Americas", "Preemptible", "CPU", "h", 0.0031, "us-central1"),
    ("Spot Preemptible N2D AMD Instance Ram running in Americas", "Preemptible", "RAM", "GiBy.h", 0.0004, "us-central1"),
    ("N2D AMD Custom Instance Core running in Americas", "OnDemand", "CPU", "h", 0.9, "us-central1"),
    ("N2D AMD Sole Tenancy Instance Core running in Americas", "OnDemand", "CPU", "h", 0.8, "us-central1"),
    ("Spot Preemptible N2D AMD Custom Instance Core running in Americas", "Preemptible", "CPU", "h", 0.7, "us-central1"),
    ("Commitment v1: N2D AMD Cpu in Americas for 1 Year", "Commit1Yr", "CPU", "h", 0.6, "us-central1"),
    ("Compute optimized Core running in Americas", "OnDemand", "CPU", "h", 0.03398, "us-central1"),
    ("Compute optimized Ram running in Americas", "OnDemand", "RAM", "GiBy.h", 0.00455, "us-central1"),
    ("Spot Preemptible Compute optimized Core running in Americas", "Preemptible", "CPU", "h", 0.0101, "us-central1"),
    ("Spot Preemptible Compute optimized Ram running in Americas", "Preemptible", "RAM", "GiBy.h", 0.0013, "us-central1"),
    ("T2A Arm Instance Core running in Americas", "OnDemand", "CPU", "h", 0.025, "us-central1"),
    ("T2A Arm Instance Ram running in Americas", "OnDemand", "RAM", "GiBy.h", 0.0034, "us-central1"),
    ("G2 Instance Core running in Americas", "OnDemand", "CPU", "h", 0.024988, "us-central1"),
    ("G2 Instance Ram running in Americas", "OnDemand", "RAM", "GiBy.h", 0.002927, "us-central1"),
    ("Nvidia L4 GPU running in Americas", "OnDemand", "GPU", "h", 0.560040, "us-central1"),
    ("Spot Preemptible G2 Instance Core running in Americas", "Preemptible", "CPU", "h", 0.01, "us-central1"),
    ("Spot Preemptible G2 Instance Ram running in Americas", "Preemptible", "RAM", "GiBy.h", 0.0012, "us-central1"),
    ("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", "Preemptible", "GPU", "h", 0.224, "us-central1"),
    ("N2D AMD Instance Core running in London", "OnDemand", "CPU", "h", 0.0354, "europe-west2"),
    ("Storage PD Capacity", "OnDemand", "PDStandard", "GiBy.mo", 0.04, "us-central1"),
    ("E2 Instance Core running in Free Land", "OnDemand", "CPU", "h", 0.0, "us-east9"),
]  # fmt: skip


def _sku(number: int, row: tuple[str, str, str, str, float, str]) -> dict[str, Any]:
    description, usage, group, unit, usd, region = row
    nanos = round(usd * 1e9)
    family = "Storage" if group == "PDStandard" else "Compute"
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": "0", "nanos": nanos}}
    return {
        "name": f"services/6F81-5844-456A/skus/AAAA-BBBB-{number:04X}",
        "skuId": f"AAAA-BBBB-{number:04X}",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine", "resourceFamily": family, "resourceGroup": group, "usageType": usage,
        },
        "serviceRegions": [region],
        "pricingInfo": [
            {"effectiveTime": "2026-11-26T08:00:00Z", "pricingExpression": {"usageUnit": unit, "tieredRates": [rate]}}
        ],
    }  # fmt: skip


SKUS = [_sku(number, row) for number, row in enumerate(ROWS)]
