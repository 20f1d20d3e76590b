#!/usr/bin/env python3
"""Draws how the CPU of a List grows with the numbers of the account, as an SVG.

    growth.py NAME=COUNT:MICROSECONDS,... [NAME=...] >docs/growth.svg

Both axes are logarithmic: a straight line with a slope of one is linear growth.
"""

import math
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 400, 70, 20, 130, 50
COLORS = ["#1f77b4", "#7f7f7f", "#d62728", "#2ca02c", "#9467bd"]


def main():
    lines = []
    for argument in sys.argv[1:]:
        name, points = argument.split("=")
        pairs = [tuple(map(float, pair.split(":"))) for pair in points.split(",")]
        lines.append((name, pairs))
    counts = [count for _, pairs in lines for count, _ in pairs]
    costs = [cost for _, pairs in lines for _, cost in pairs]
    x = scale(counts, LEFT, WIDTH - RIGHT)
    y = scale(costs, HEIGHT - BOTTOM, TOP)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">')
    print(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    for decade in decades(counts):
        at = x(decade)
        print(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        print(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{decade:,}</text>')
    for decade in decades(costs):
        at = y(decade)
        print(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#ddd"/>')
        print(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{decade:,}</text>')
    for (name, pairs), color in zip(lines, COLORS):
        path = " ".join(f"{x(count):.1f},{y(cost):.1f}" for count, cost in pairs)
        print(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for count, cost in pairs:
            print(f'<circle cx="{x(count):.1f}" cy="{y(cost):.1f}" r="3" fill="{color}"><title>{name}, {count:,.0f}: {cost:,.0f} µs</title></circle>')
        count, cost = pairs[-1]
        print(f'<text x="{x(count) + 8:.1f}" y="{y(cost) + 4:.1f}" fill="{color}">{name}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    print(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">numbers of the account</text>')
    print(f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">CPU of a List, µs</text>')
    print("</svg>")


def decades(values):
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10**power for power in range(low, high + 1)]


def scale(values, start, end):
    shown = decades(values)
    low, high = math.log10(shown[0]), math.log10(shown[-1])
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


main()
