/// The version of this package; a test holds it to pubspec.yaml.
const version = '0.1.0';
