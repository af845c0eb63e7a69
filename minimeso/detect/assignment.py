"""Assignment: pairs of rows and columns whose costs are the least in total.

Shortest augmenting paths (R. Burkard et al., "Assignment Problems", SIAM 2009, section 4.4), as
SciPy's ``linear_sum_assignment``, whose import takes 0.7 s of a core and 47 MB: more than to judge
a short clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def least_in_total(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Row and column of each pair, by row; every row has one, or every column if those are fewer.

    Args:
        costs: rows of finite numbers, all of one length.
    """
    if costs and len(costs) > len(costs[0]):
        transposed = least_in_total(list(zip(*costs, strict=True)))
        return sorted((row, column) for column, row in transposed)
    columns = range(len(costs[0])) if costs else range(0)
    row_price, column_price = [0.0] * len(costs), [0.0] * len(columns)
    row_of: dict[int, int] = {}
    column_of: dict[int, int] = {}
    for start in range(len(costs)):
        # the shortest path from this row to a column that nobody has, over those that have one
        shortest, before = [math.inf] * len(columns), [start] * len(columns)
        unvisited, visited = set(columns), []
        row, length = start, 0.0
        while True:
            for j in unvisited:
                reached = length + costs[row][j] - row_price[row] - column_price[j]
                if reached < shortest[j]:
                    shortest[j], before[j] = reached, row
            end = min(unvisited, key=lambda j: (shortest[j], j in row_of, j))
            length = shortest[end]
            if end not in row_of:
                break
            unvisited.remove(end)
            visited.append(end)
            row = row_of[end]
        row_price[start] += length
        for j in visited:
            row_price[row_of[j]] += length - shortest[j]
            column_price[j] -= length - shortest[j]
        row = -1
        while row != start:  # back along the path: each column goes to the row it was reached from
            row = before[end]
            row_of[end] = row
            end, column_of[row] = column_of.get(row, end), end
    return sorted(column_of.items())
