"""Tests above a second, which `make quick` leaves out: a lane that is run at every save takes less than a minute.

`make quick` names the tests of its own lane that took longer than that (`--durations-min=1`): they belong here.
"""

from collections.abc import Iterable

import pytest

SLOW = (
    "tests/docs/test_code_blocks.py",
    "tests/docs/test_examples.py::test_a_notebook_runs_and_shows_what_it_promises",
    "tests/flows/cluster/test_cluster.py::test_a_keeper_of_jobs_that_meets_the_unexpected_says_so",
    "tests/flows/cluster/test_cluster.py::test_local_cluster_computes_in_other_processes",
    "tests/flows/cluster/test_cluster.py::test_unreachable_scheduler_is_named",
    "tests/flows/cluster/test_slurm.py",
    "tests/flows/command/test_bad_input.py",
    "tests/flows/command/test_console.py::test_prefect_is_not_imported_before_its_settings_are_made",
    "tests/flows/command/test_doctor.py::test_something_else_at_the_schedulers_port_is_a_problem",
    "tests/flows/command/test_init.py",
    "tests/flows/command/test_inputs.py::test_neither_prefect_nor_a_cluster_is_started",
    "tests/flows/service/test_alerts.py",
    "tests/flows/service/test_containers.py",
    "tests/flows/service/test_grafana.py",
    "tests/flows/service/test_loopback.py",
    "tests/flows/stages/learning/test_applicability.py",
    "tests/flows/stages/learning/test_search.py",
    "tests/flows/stages/production/test_continuing.py",
    "tests/flows/stages/test_drought_table.py",
    "tests/flows/stages/test_histories.py",
    "tests/flows/stages/test_moved.py",
    "tests/flows/stages/test_produce.py",
    "tests/flows/stages/test_release.py",
    "tests/flows/stages/test_replaced_sources.py",
    "tests/flows/stages/test_series_store.py",
    "tests/flows/stages/test_validate.py::test_a_new_day_makes_pending_what_shows_it",
    "tests/flows/stages/test_validate.py::test_an_impossible_section_leaves_the_others_their_report",
    "tests/flows/stages/test_validate.py::test_sections_are_made_once_and_only_the_chosen_one_again",
    "tests/flows/stages/validation/test_experiments.py",
    "tests/flows/test_clone_called_somo.py",
    "tests/flows/test_europe.py",
    "tests/flows/test_journey.py",
    "tests/flows/test_server_of_run.py",
    "tests/forcing/formats/test_import_order.py",
    "tests/forcing/references/test_scanning.py::test_a_file_without_permission_is_refused_by_name",
    "tests/forcing/references/test_scanning.py::test_any_two_encodings_join_to_the_plain_values",
    "tests/forcing/references/test_unpacking.py::test_a_bomb_is_refused_before_it_unpacks",
    "tests/forcing/references/test_web.py",
    "tests/forcing/references/test_web_logins.py",
    "tests/forcing/regridding/test_axes.py::test_regridding_equals_a_plain_loop",
    "tests/forcing/test_daily.py::test_a_gap_as_long_as_a_block_is_filled_from_the_blocks_around_it",
    "tests/forcing/test_regridded.py::test_gaps_hours_and_regridding_together_do_not_depend_on_the_cut",
    "tests/insitu/test_targets.py::test_daily_means_are_kept_bit_by_bit",
    "tests/insitu/test_targets.py::test_scaling_gives_the_reference_moments_and_keeps_the_order",
    "tests/learn/networks/test_register.py",
    "tests/learn/test_fit.py::test_learns_what_cells_it_has_not_seen_do",
    "tests/learn/test_fit.py::test_same_seed_same_weights",
    "tests/learn/test_fit.py::test_twenty_years_of_a_region_train_in_four_gigabytes",
    "tests/predict/test_infer.py::test_every_layer_and_member",
    "tests/publish/store/test_drought.py::test_new_windows_alone_have_the_bytes_of_all_anew",
    "tests/publish/store/test_drought.py::test_the_group_holds_probabilities_of_a_version_that_knows_its_uncertainty",
    "tests/publish/store/test_drought.py::test_the_group_holds_what_a_plain_computation_gives",
    "tests/publish/store/test_drought.py::test_the_yearly_file_holds_the_store_for_other_programs",
    "tests/publish/store/test_maps.py",
    "tests/publish/store/test_regions.py",
    "tests/publish/store/test_series.py",
    "tests/publish/test_catalog.py",
    "tests/publish/test_netcdf.py",
    "tests/publish/test_reader.py",
    "tests/publish/test_slabs.py::test_a_file_takes_the_memory_of_a_slab_however_its_store_is_turned",
    "tests/publish/test_wheel.py",
    "tests/storage/test_listing.py::test_what_is_in_a_listed_folder_is_not_asked_for_again",
    "tests/synthetic/test_compared.py",
    "tests/synthetic/test_europe.py",
    "tests/validate/sections/",
    "tests/validate/test_regrid.py::test_cells_on_the_edge_reach_half_a_cell_outside",
)
"""Folders, files and tests by their node ids; whole files where what they share takes the time."""


def mark_slow(items: Iterable[pytest.Item]) -> None:
    """Give these tests the marker `slow`."""
    for item in items:
        if any(is_of(item.nodeid, entry) for entry in SLOW):
            item.add_marker(pytest.mark.slow)


def is_of(nodeid: str, entry: str) -> bool:
    """Whether a test is the one that an entry names, one of its cases, or in the file or folder that it names."""
    ending = "" if entry.endswith("/") else "::" if entry.endswith(".py") else "["
    return nodeid == entry or nodeid.startswith(f"{entry}{ending}")
