import 'dart:collection';

/// Maps and lists of JSON that remember which place was read last.
final class JsonPlaces {
  /// The path of the place, `orders[2].name`; empty before the first.
  String last = '';

  /// What stands there.
  Object? value;

  /// Whether nothing stands there.
  bool isMissing = false;

  /// A map that remembers.
  Map<String, dynamic> map(Map<String, dynamic> json, String path) => _PlacesMap(json, path, this);

  Object? _read(String path, Object? found, {required bool missing}) {
    last = path;
    value = found;
    isMissing = missing;
    return switch (found) {
      Map<String, dynamic>() => _PlacesMap(found, path, this),
      List<dynamic>() => _PlacesList(found, path, this),
      _ => found,
    };
  }
}

final class _PlacesMap extends MapBase<String, dynamic> {
  _PlacesMap(this._json, this._path, this._places);

  final Map<String, dynamic> _json;
  final String _path;
  final JsonPlaces _places;

  @override
  Object? operator [](Object? key) => _places._read(
        _path.isEmpty ? '$key' : '$_path.$key',
        _json[key],
        missing: !_json.containsKey(key),
      );

  @override
  void operator []=(String key, dynamic value) => _json[key] = value;

  @override
  Iterable<String> get keys => _json.keys;

  @override
  void clear() => _json.clear();

  @override
  Object? remove(Object? key) => _json.remove(key);
}

final class _PlacesList extends ListBase<dynamic> {
  _PlacesList(this._json, this._path, this._places);

  final List<dynamic> _json;
  final String _path;
  final JsonPlaces _places;

  @override
  int get length => _json.length;

  @override
  set length(int value) => _json.length = value;

  @override
  Object? operator [](int index) => _places._read('$_path[$index]', _json[index], missing: false);

  @override
  void operator []=(int index, dynamic value) => _json[index] = value;
}
