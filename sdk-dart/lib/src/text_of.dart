/// A value as a text, for a line of the log; one whose `toString` throws is named by its class.
String textOf(Object? value) {
  try {
    return '$value';
  } catch (_) {
    return '(${value.runtimeType}, whose toString throws)';
  }
}
