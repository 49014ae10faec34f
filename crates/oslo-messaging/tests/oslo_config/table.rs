//! The table of messaging beside the options of the installed oslo.messaging.

use oslo_messaging::config::{self, Config, DEFAULT, KAFKA, NOTIFICATIONS, Options, RABBIT};
use serde_json::{Value as Json, json};

use crate::{options::described, reference::Reference};

/// What the reference says of its own options, and of ours.
fn reference() -> Json {
    Reference::start("reference_options.py", &described(config::messaging())).answer()
}

/// The table as it is compared: the reference's part, without the help, in one order.
fn compared(options: &Json, installed: bool) -> Vec<Json> {
    let ours = |opt: &Json| {
        let same = |known: &&config::Opt| opt["group"] == known.group && opt["name"] == known.name;
        !installed && config::table().iter().find(same).unwrap().ours
    };
    let mut options: Vec<Json> =
        options.as_array().unwrap().iter().filter(|opt| !ours(opt)).cloned().collect();
    for opt in &mut options {
        let opt = opt.as_object_mut().unwrap();
        opt.remove("help");
        if opt["kind"] == "multi" && opt["default"].is_null() {
            opt["default"] = json!([]);
        }
    }
    options.sort_by_key(|opt| format!("{} {}", opt["group"], opt["name"]));
    options
}

#[test]
fn every_option_of_the_reference_is_in_the_table_with_its_type_default_choices_and_older_names() {
    let answer = reference();
    let installed = compared(&answer["installed"], true);
    let table = compared(&described(config::messaging()), false);
    let names = |options: &[Json]| {
        options.iter().map(|opt| format!("{} {}", opt["group"], opt["name"])).collect::<Vec<_>>()
    };
    assert_eq!(names(&table), names(&installed));
    let count = |group: &str| installed.iter().filter(|opt| opt["group"] == group).count();
    assert_eq!([DEFAULT, NOTIFICATIONS, KAFKA, RABBIT].map(count), [5, 5, 14, 37]);
    let rabbit = Options::resolve(RABBIT, &Config::new(), &[]).unwrap();
    for (mut ours, mut theirs) in table.into_iter().zip(installed) {
        let name = theirs["name"].as_str().unwrap().to_owned();
        // The password itself, in spite of its help there.
        if name == "ssl_client_key_password" {
            assert_eq!((&theirs["secret"], &ours["secret"]), (&json!(false), &json!(true)));
            theirs["secret"] = json!(true);
        }
        // Where it has no bounds, ours are what the broker's protocol takes.
        for bound in ["min", "max"] {
            if theirs[bound].is_null() {
                ours[bound] = Json::Null;
            }
        }
        // Known when the program runs: ours is that of this one, theirs that of the script.
        match name.as_str() {
            "hostname" => ours["default"] = json!(rabbit.str("hostname")),
            "processname" => {
                assert!(rabbit.str("processname").starts_with("oslo_config-"));
                ours["default"] = json!("reference_options.py");
            }
            _ => {}
        }
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn the_sample_is_the_one_that_oslo_config_generator_makes_of_the_table() {
    let answer = reference();
    let (theirs, ours) =
        (answer["sample"].as_str().unwrap(), config::messaging().sample("oslo.messaging"));
    for (number, (theirs, ours)) in theirs.lines().zip(ours.lines()).enumerate() {
        assert_eq!(ours, theirs, "line {}", number + 1);
    }
    assert!(theirs == ours, "one of them has more lines");
    assert!(ours.lines().count() > 300);
}
