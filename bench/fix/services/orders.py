"""The small-object service: an order API on FastAPI, models checked on the way in and out.

`POST /orders` takes lines, prices them, and answers with totals and the lines in groups.
"""

from __future__ import annotations

import zlib
from collections import defaultdict

from fastapi import FastAPI
from live import Kept
from pydantic import BaseModel

TAX = {"food": 0.07, "book": 0.07, "tool": 0.19, "toy": 0.19}
kept = Kept(capacity=300)
app = FastAPI()


class Line(BaseModel):
    sku: str
    kind: str
    count: int
    price: float
    labels: list[str] = []


class Order(BaseModel):
    number: int
    customer: str
    lines: list[Line]


class Group(BaseModel):
    kind: str
    net: float
    tax: float
    lines: list[Line]


class Priced(BaseModel):
    number: int
    total: float
    groups: list[Group]


def price(order: Order) -> Priced:
    by_kind = defaultdict(list)
    for line in order.lines:
        by_kind[line.kind].append(line)
    groups = []
    for kind, lines in sorted(by_kind.items()):
        net = round(sum(line.count * line.price for line in lines), 2)
        groups.append(Group(kind=kind, net=net, tax=round(net * TAX[kind], 2), lines=lines))
    return Priced(number=order.number, total=round(sum(g.net + g.tax for g in groups), 2), groups=groups)


def summary(order: Order) -> dict:
    return {line.sku: (line.count, line.price) for line in order.lines[:40]}


@app.post("/orders")
async def orders(order: Order) -> Priced:
    priced = price(order)
    kept.keep(order.number, summary(order))
    return priced


def small(number: int) -> dict:
    skus = [f"{zlib.crc32(b'%d' % (number * 40 + n)):08x}" for n in range(40)]
    lines = [Line(sku=sku, kind="toy", count=n, price=n * 0.5) for n, sku in enumerate(skus)]
    return summary(Order(number=number, customer="", lines=lines))


kept.fill_if_asked(small)
