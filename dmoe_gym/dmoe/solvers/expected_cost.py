"""Expected-cost JESA: selection and subcarriers by what links are expected to deliver (this project's choice).

Like JESA it alternates experts and subcarriers. The cost is the conditional expectation of the round's, outages
included: for fixed subcarriers every node's experts are improved one change at a time, for fixed experts the
subcarriers are an assignment whose prices are expected energy plus outage probability times what an outage loses."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.physics.terms import attainable
from dmoe_gym.dmoe.solvers.delivery import expect
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.dmoe.solvers.linear_assignment import assign_rows
from dmoe_gym.dmoe.solvers.repair import LEAST_SAVING, best_free, copy_schedule, mark_taken, release_idle

# Price of a subcarrier that is known not to work, where assignments need a number.
UNUSABLE = 1e6


@njit
def link_chances(i, selected, subcarrier, success, energy, chance):
    """Every link's success probability under its payload into chance (K,); return the node's expected transmissions."""
    states, experts = selected.shape
    total = 0.0
    for j in range(experts):
        payload = 0
        for n in range(states):
            payload += selected[n, j]
        chance[j] = 1.0
        if payload > 0 and i != j:
            m = subcarrier[i, j]
            if m < 0:
                return np.inf
            chance[j] = success[i, j, m, payload - 1]
            total += energy[i, j, m, payload - 1]
    return total


@njit
def expected_relevance_cost(i, gate_scores, targets, selected, chance, constants):
    """Expected computation and priced shortfall of node i's hidden states (N, K), links failing independently.

    A link's hidden states share its fate, but their costs add up, so their expectations do. Who loses all experts is
    served by the own node's.
    """
    states, experts = gate_scores.shape
    total = 0.0
    members = np.empty(experts, np.int64)
    for n in range(states):
        count = 0
        for j in range(experts):
            if selected[n, j]:
                members[count] = j
                count += 1
        for outcome in range(1 << count):
            probability = 1.0
            served = 0.0
            computation = 0.0
            for slot in range(count):
                j = members[slot]
                if outcome >> slot & 1:
                    probability *= chance[j]
                    served += gate_scores[n, j]
                    computation += constants.computation[j]
                else:
                    probability *= 1 - chance[j]
            if probability <= 0:
                continue
            if outcome == 0:
                served = gate_scores[n, i]
                computation = constants.computation[i]
            total += probability * (computation + constants.shortfall_price * max(0.0, targets[n] - served))
    return total


@njit
def node_expectation(i, gate_scores, targets, selected, subcarrier, success, energy, constants, chance):
    """Expected cost of node i."""
    total = link_chances(i, selected, subcarrier, success, energy, chance)
    if total == np.inf:
        return total
    return total + expected_relevance_cost(i, gate_scores, targets, selected, chance, constants)


@njit
def set_member(i, j, wanted, member, subcarrier, efficiency, taken):
    """Let expert j serve a hidden state of node i or not, taking the best free subcarrier if the link has none."""
    member[j] = wanted
    if wanted and i != j and subcarrier[i, j] < 0:
        m = best_free(efficiency[i, j], taken)
        if m >= 0:
            subcarrier[i, j] = m
            taken[m] = True


@njit
def improve_node(i, gate_scores, targets, efficiency, success, energy, constants, selected, subcarrier, taken, chance):
    """Add, drop or exchange one expert of one hidden state of node i, whatever lowers the cost most, until none does.

    Subcarriers of links that fall idle are freed at once.

    Returns:
        the node's expected cost.
    """
    states, experts = gate_scores.shape
    cost = node_expectation(i, gate_scores, targets, selected, subcarrier, success, energy, constants, chance)
    while True:
        best = cost - LEAST_SAVING
        best_n, best_in, best_out = -1, -1, -1
        for n in range(states):
            member = selected[n]
            count = 0
            for j in range(experts):
                count += member[j]
            for leaver in range(-1, experts):
                if leaver >= 0 and not member[leaver]:
                    continue
                for joiner in range(-1, experts):
                    if joiner < 0 and (leaver < 0 or count == 1):
                        continue
                    if joiner >= 0 and (member[joiner] or (leaver < 0 and count == constants.max_experts)):
                        continue
                    held = subcarrier[i, joiner] if joiner >= 0 else -1
                    if leaver >= 0:
                        member[leaver] = False
                    if joiner >= 0:
                        set_member(i, joiner, True, member, subcarrier, efficiency, taken)
                    now = node_expectation(
                        i, gate_scores, targets, selected, subcarrier, success, energy, constants, chance
                    )
                    if now < best:
                        best, best_n, best_in, best_out = now, n, joiner, leaver
                    if joiner >= 0:
                        member[joiner] = False
                        if subcarrier[i, joiner] != held:
                            taken[subcarrier[i, joiner]] = False
                            subcarrier[i, joiner] = held
                    if leaver >= 0:
                        member[leaver] = True
        if best_n < 0:
            return cost
        cost = best
        if best_out >= 0:
            selected[best_n, best_out] = False
            if best_out != i and not selected[:, best_out].any():
                taken[subcarrier[i, best_out]] = False
                subcarrier[i, best_out] = -1
        if best_in >= 0:
            set_member(i, best_in, True, selected[best_n], subcarrier, efficiency, taken)


@njit
def reassign(gate_scores, targets, success, energy, constants, selected, subcarrier, chance):
    """Subcarriers of least expected cost for the active links, given their hidden states."""
    experts, states, _ = selected.shape
    subcarriers = success.shape[2]
    sources = np.empty(experts * experts, np.int64)
    destinations = np.empty(experts * experts, np.int64)
    price = np.empty((subcarriers, subcarriers))
    active = 0
    for i in range(experts):
        link_chances(i, selected[i], subcarrier, success, energy, chance)
        for j in range(experts):
            if i == j or subcarrier[i, j] < 0:
                continue
            payload = 0
            for n in range(states):
                payload += selected[i, n, j]
            kept = chance[j]
            chance[j] = 0.0
            loss = expected_relevance_cost(i, gate_scores[i], targets[i], selected[i], chance, constants)
            chance[j] = 1.0
            loss -= expected_relevance_cost(i, gate_scores[i], targets[i], selected[i], chance, constants)
            chance[j] = kept
            for m in range(subcarriers):
                chance_of_it = success[i, j, m, payload - 1]
                # up to a constant, so that no price is negative: `assign_rows` asks for that
                whole = energy[i, j, m, payload - 1] + (1 - chance_of_it if loss >= 0 else -chance_of_it) * loss
                price[active, m] = min(whole, UNUSABLE)
            sources[active] = i
            destinations[active] = j
            active += 1
    if active == 0:
        return
    column_of_row = np.empty(active, np.int64)
    row_of_column = np.empty(subcarriers, np.int64)
    assign_rows(price, active, column_of_row, row_of_column)
    for link in range(active):
        subcarrier[sources[link], destinations[link]] = column_of_row[link]


@njit
def expected_total(gate_scores, targets, success, energy, constants, selected, subcarrier, chance):
    """Expected cost of a schedule [E_ref / (K N D)]."""
    total = 0.0
    for i in range(gate_scores.shape[0]):
        total += node_expectation(
            i, gate_scores[i], targets[i], selected[i], subcarrier, success, energy, constants, chance
        )
    return total


@njit
def expected_descent(gate_scores, targets, predicted, success, energy, constants, selected, subcarrier):
    """Experts and subcarriers in turn, from the given schedule, until its expected cost no longer falls.

    Args:
        targets: (K, N) attainable thresholds; predicted, success, energy: see `expect`.
        selected, subcarrier: changed in place into the best schedule met.

    Returns:
        its expected cost [E_ref / (K N D)].
    """
    experts = gate_scores.shape[0]
    draft, draft_subcarrier = selected.copy(), subcarrier.copy()
    taken = np.empty(predicted.shape[2], np.bool_)
    chance = np.empty(experts)
    least = np.inf
    for _ in range(MAX_ITERATIONS):
        mark_taken(draft_subcarrier, taken)
        for i in range(experts):
            improve_node(
                i, gate_scores[i], targets[i], predicted, success, energy, constants, draft[i], draft_subcarrier,
                taken, chance,
            )  # fmt: skip
        reassign(gate_scores, targets, success, energy, constants, draft, draft_subcarrier, chance)
        total = expected_total(gate_scores, targets, success, energy, constants, draft, draft_subcarrier, chance)
        if not total < least - LEAST_SAVING:
            break
        least = total
        copy_schedule(draft, draft_subcarrier, selected, subcarrier)
    return least


@njit
def expectations(gate_scores, efficiency, threshold, constants, law, caution, prices):
    """targets (K, N) and what `expect` gives for one round: predicted, success, energy."""
    experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[2]
    predicted = np.empty((experts, experts, subcarriers))
    success = np.empty((experts, experts, subcarriers, states))
    energy = np.empty((experts, experts, subcarriers, states))
    expect(efficiency, constants, law, caution, prices, states, predicted, success, energy)
    targets = np.empty((experts, states))
    best = np.empty(constants.max_experts)
    for i in range(experts):
        for n in range(states):
            targets[i, n] = attainable(gate_scores[i, n], threshold, best)
    return targets, predicted, success, energy


@njit
def expected_jesa(gate_scores, efficiency, threshold, constants, law, caution, prices, selected, subcarrier):
    """One round of expected-cost JESA into selected (K, N, K) and subcarrier (K, K); return its expected cost.

    Args:
        efficiency: (K, K, M) as observed; law: `ChannelLaw`; caution, prices: (K,), see `expect`. The
            constants' computation energies are priced already.
    """
    targets, predicted, success, energy = expectations(
        gate_scores, efficiency, threshold, constants, law, caution, prices
    )
    jesa(gate_scores, predicted, threshold, constants, selected, subcarrier, MAX_ITERATIONS)
    release_idle(selected, subcarrier)
    return expected_descent(gate_scores, targets, predicted, success, energy, constants, selected, subcarrier)


@njit
def start_over(i, j, gate_scores, rates, selected, subcarrier):
    """Node i serves its hidden states itself, but for the one of largest score at j, which expert j serves."""
    taken = np.empty(rates.shape[2], np.bool_)
    subcarrier[i] = -1
    mark_taken(subcarrier, taken)
    selected[i] = False
    selected[i, :, i] = True
    if i == j:
        return
    n = np.argmax(gate_scores[i, :, j])
    if best_free(rates[i, j], taken) >= 0:
        selected[i, n, i] = False
        set_member(i, j, True, selected[i, n], subcarrier, rates, taken)


@njit
def expected_node_costs(
    gate_scores, efficiency, threshold, constants, law, caution, prices, selected, subcarrier, costs
):  # fmt: skip
    """Every node's expected cost (K,) under a schedule [E_ref / (K N D)]."""
    targets, _, success, energy = expectations(gate_scores, efficiency, threshold, constants, law, caution, prices)
    chance = np.empty(gate_scores.shape[0])
    for i in range(gate_scores.shape[0]):
        costs[i] = node_expectation(
            i, gate_scores[i], targets[i], selected[i], subcarrier, success, energy, constants, chance
        )


@njit
def expected_restarts(
    gate_scores, efficiency, threshold, constants, law, caution, prices, links, selected, subcarrier
):  # fmt: skip
    """Restarts of least expected cost, in the order of `links`, each from the best schedule so far.

    Args:
        links: (R,) of links i * K + j.
        selected, subcarrier: a schedule of expected-cost JESA, changed in place into the best one met.
    """
    targets, predicted, success, energy = expectations(
        gate_scores, efficiency, threshold, constants, law, caution, prices
    )
    experts = gate_scores.shape[0]
    chance = np.empty(experts)
    best = expected_total(gate_scores, targets, success, energy, constants, selected, subcarrier, chance)
    draft, draft_subcarrier = selected.copy(), subcarrier.copy()
    for link in links:
        copy_schedule(selected, subcarrier, draft, draft_subcarrier)
        start_over(link // experts, link % experts, gate_scores, predicted, draft, draft_subcarrier)
        now = expected_descent(gate_scores, targets, predicted, success, energy, constants, draft, draft_subcarrier)
        if now < best - LEAST_SAVING:
            best = now
            copy_schedule(draft, draft_subcarrier, selected, subcarrier)
