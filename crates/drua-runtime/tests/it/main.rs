//! Real containers from busybox, created as root in cgroups of their own.
//!
//! Creating a container takes a process with one thread, so the harness runs every test on its main thread.

#![expect(clippy::print_stderr, reason = "a test may say what it measured")]

mod busybox;
mod confinement;
mod conformance;
mod exec;
mod failures;
mod fixture;
mod inprocess;
mod leaks;
mod lifecycle;
mod process;
mod resources;

use libtest_mimic::{Arguments, Trial};

macro_rules! trials {
    ($($module:ident::$name:ident,)*) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || { $module::$name(); Ok(()) })),*]
    };
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = trials![
        confinement::capabilities_and_seccomp_are_in_force_before_the_start,
        confinement::no_new_privileges_is_in_force,
        confinement::other_users_have_no_capabilities_in_effect,
        confinement::mounting_and_new_namespaces_are_denied,
        confinement::privileged_containers_may_mount,
        confinement::custom_profiles_apply,
        confinement::masked_and_readonly_paths,
        confinement::cgroups_are_readonly_inside,
        confinement::only_the_listed_devices_are_usable,
        confinement::only_the_listed_devices_are_usable_with_cgroup_v2,
        confinement::a_cgroup_v2_filter_survives_new_limits,
        conformance::a_probe_sees_what_it_sees_under_runc,
        exec::a_process_joins_the_container,
        exec::it_is_confined_like_everything_in_the_container,
        exec::user_directory_environment_and_limits,
        exec::a_privileged_process_has_all_capabilities,
        exec::failures_have_runcs_words,
        exec::a_terminal_is_the_controlling_one,
        exec::nothing_of_the_creator_gets_in,
        exec::it_works_with_cgroup_v2,
        exec::the_caller_stays_where_it_is,
        failures::commands_that_cannot_run_are_reported_by_create,
        failures::a_failing_execve_is_reported_by_start,
        failures::setup_failures_name_their_cause_and_leave_nothing,
        failures::wrong_calls_are_refused,
        inprocess::a_workload_runs_in_the_container,
        inprocess::the_default_filter_denies_sockets_to_the_hypervisor,
        inprocess::errors_before_and_after_the_start,
        inprocess::a_panic_ends_the_container_only,
        leaks::fifty_containers_leave_nothing,
        lifecycle::kill_pause_and_resume,
        lifecycle::kill_all_reaches_every_process,
        lifecycle::a_created_container_can_be_deleted,
        lifecycle::destroy_needs_no_sandbox,
        lifecycle::paths_may_be_long,
        process::exit_codes,
        process::environment_user_and_directory,
        process::terminal,
        process::mounts,
        process::namespaces,
        process::standard_streams_belong_to_the_user,
        resources::limits_are_set,
        resources::the_pids_limit_holds,
        resources::running_out_of_memory_is_counted,
        resources::limits_can_be_updated,
    ];
    let skip = !busybox::available();
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(skip)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}
