//! Devices that are not there.

use eaglet_backends::{DeviceSpec, list, open};

#[test]
fn a_device_that_is_not_there_is_an_error_that_names_it() {
    for name in ["cuda:99", "wgpu:99"] {
        let error = open(name.parse().unwrap(), None).err().unwrap().to_string();
        assert!(error.starts_with(&format!("device {name}: ")), "{error}");
    }
}

#[test]
fn what_is_listed_opens_and_what_is_not_says_why() {
    let all = list();
    assert_eq!(all.last().unwrap().spec, DeviceSpec::Cpu);
    for listed in all {
        match listed.found {
            Ok(_) => assert_eq!(
                open(listed.spec, None).unwrap().name,
                match listed.spec {
                    DeviceSpec::Cpu => "cpu".to_owned(),
                    spec => spec.to_string(),
                }
            ),
            Err(reason) => {
                let error = open(listed.spec, None).err().unwrap().to_string();
                assert!(error.contains(&reason.to_string()), "{error}");
            }
        }
    }
}

#[test]
fn auto_never_takes_a_processor_that_plays_a_gpu() {
    let real = list().into_iter().any(|listed| {
        let hardware = listed.found.is_ok_and(|found| !found.software);
        hardware && listed.spec != DeviceSpec::Cpu
    });
    let backend = open(DeviceSpec::Auto, None).unwrap();
    // A real one is passed over only with a reason.
    let excused = !real || !backend.skipped.is_empty();
    assert!(backend.name != "cpu" || excused, "{:?}", backend.skipped);
    assert!(real || backend.name == "cpu", "{}", backend.name);
}
