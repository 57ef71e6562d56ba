"""Structures that plants meet and whose definition need not be asked for: of OPC UA itself (Part 3, 5, 8), of PackML (OPC 30050 §6.8) and of
Machinery results (OPC 40001-101 §10). OPC 40001-1 itself defines none: its identification and states are made of these and of plain values.

Ids and fields are those of the published NodeIds and NodeSets. Older servers have no DataTypeDefinition attribute: this table is then all there
is. One line a structure: data type id, id of its binary encoding, name, then its fields; ``?`` optional, ``[]`` array, ``*`` subtypes allowed.
"""

from __future__ import annotations

from shinkei_gateway.opcua.definition import Definition, Field, Kind

UA, PACKML, RESULT = "", "http://opcfoundation.org/UA/PackML/", "http://opcfoundation.org/UA/Machinery/Result/"
BUILT_IN = {
    "Boolean": 1, "SByte": 2, "Byte": 3, "Int16": 4, "UInt16": 5, "Int32": 6, "UInt32": 7, "Int64": 8, "UInt64": 9, "Float": 10,
    "Double": 11, "String": 12, "DateTime": 13, "Guid": 14, "ByteString": 15, "XmlElement": 16, "NodeId": 17, "ExpandedNodeId": 18,
    "StatusCode": 19, "QualifiedName": 20, "LocalizedText": 21, "Structure": 22, "DataValue": 23, "Variant": 24, "DiagnosticInfo": 25,
}  # fmt: skip
"""Numbers of the built-in types (Part 6 §5.1.2)."""

_TYPES = {
    UA: """
        884 886 Range: Double Low, Double High
        887 889 EUInformation: String NamespaceUri, Int32 UnitId, LocalizedText DisplayName, LocalizedText Description
        296 298 Argument: String Name, NodeId DataType, Int32 ValueRank, UInt32[] ArrayDimensions, LocalizedText Description
        7594 8251 EnumValueType: Int64 Value, LocalizedText DisplayName, LocalizedText Description
        8912 8917 TimeZoneDataType: Int16 Offset, Boolean DaylightSavingInOffset
        12080 12090 XVType: Double X, Float Value
        12079 12089 AxisInformation: EUInformation EngineeringUnits, Range EURange, LocalizedText Title, Int32 AxisScaleType, Double[] AxisSteps
        12171 12181 ComplexNumberType: Float Real, Float Imaginary
        12172 12182 DoubleComplexNumberType: Double Real, Double Imaginary
        12755 12765 OptionSet: ByteString Value, ByteString ValidBits
        18806 18815 RationalNumber: Int32 Numerator, UInt32 Denominator
        18808 18817 3DVector: Double X, Double Y, Double Z
        18810 18819 3DCartesianCoordinates: Double X, Double Y, Double Z
        18812 18821 3DOrientation: Double A, Double B, Double C
        18814 18823 3DFrame: 3DCartesianCoordinates CartesianCoordinates, 3DOrientation Orientation
        23498 23507 CurrencyUnitType: Int16 NumericCode, SByte Exponent, String AlphabeticCode, LocalizedText Currency
        14533 14846 KeyValuePair: QualifiedName Key, Variant Value
        338 340 BuildInfo: String ProductUri, String ManufacturerName, String ProductName, String SoftwareVersion, String BuildNumber, DateTime BuildDate
        862 864 ServerStatusDataType: DateTime StartTime, DateTime CurrentTime, Int32 State, BuildInfo BuildInfo, UInt32 SecondsTillShutdown, LocalizedText ShutdownReason
        299 301 StatusResult: StatusCode StatusCode, DiagnosticInfo DiagnosticInfo
        877 879 ModelChangeStructureDataType: NodeId Affected, NodeId AffectedType, Byte Verb
        897 899 SemanticChangeStructureDataType: NodeId Affected, NodeId AffectedType
        101 14844 StructureField: String Name, LocalizedText Description, NodeId DataType, Int32 ValueRank, UInt32[] ArrayDimensions, UInt32 MaxStringLength, Boolean IsOptional
        99 122 StructureDefinition: NodeId DefaultEncodingId, NodeId BaseDataType, Int32 StructureType, StructureField[] Fields
        102 14845 EnumField: Int64 Value, LocalizedText DisplayName, LocalizedText Description, String Name
        100 123 EnumDefinition: EnumField[] Fields
    """,
    PACKML: """
        15 74 PackMLAlarmDataType: Int32 ID, Int32 Value, String Message, Int32 Category, DateTime DateTime, DateTime AckDateTime, Boolean Trigger
        14 69 PackMLCountDataType: Int32 ID, String Name, EUInformation Unit, Int32 Count, Int32 AccCount
        16 77 PackMLDescriptorDataType: Int32 ID, String Name, EUInformation Unit, Float Value
        17 79 PackMLIngredientsDataType: Int32 IngredientID, PackMLDescriptorDataType[] Parameter
        18 81 PackMLProductDataType: Int32 ProductID, PackMLDescriptorDataType[] ProcessVariables, PackMLIngredientsDataType[] Ingredients
        19 83 PackMLRemoteInterfaceDataType: Int32 Number, Int32 ControlCmdNumber, Int32 CmdValue, PackMLDescriptorDataType[] Parameter
    """,
    RESULT: """
        3004 5001 ResultTransferOptionsDataType: String ResultId
        3006 5003 ProcessingTimesDataType: DateTime StartTime, DateTime EndTime, Double? AcquisitionDuration, Double? ProcessingDuration
        3007 5005 ResultMetaDataType: String ResultId, Boolean? HasTransferableDataOnFile, Boolean? IsPartial, Boolean? IsSimulated, Int32? ResultState, String? StepId, String? PartId, String? ExternalRecipeId, String? InternalRecipeId, String? ProductId, String? ExternalConfigurationId, String? InternalConfigurationId, String? JobId, DateTime? CreationTime, ProcessingTimesDataType? ProcessingTimes, String[]? ResultUri, Int32? ResultEvaluation, Int64? ResultEvaluationCode, LocalizedText? ResultEvaluationDetails, String[]? FileFormat
        3008 5008 ResultDataType: ResultMetaDataType* ResultMetaData, Variant[] ResultContent
    """,
}


def _definitions() -> list[Definition]:
    found: list[Definition] = []
    ids: dict[str, str] = {}
    for uri, table in _TYPES.items():
        prefix = f"nsu={uri};i=" if uri else "i="
        lines = [line.strip().split(" ", 2) for line in table.strip().splitlines()]
        ids |= {rest.partition(":")[0]: prefix + data_type for data_type, _, rest in lines}
        for data_type, encoding, rest in lines:
            name, _, fields = rest.partition(": ")
            parsed = tuple(_field(field, ids) for field in fields.split(", "))
            kind: Kind = "optional" if any(field.optional for field in parsed) else "structure"
            found.append(Definition(prefix + data_type, prefix + encoding, name, kind, parsed))
    return found


def _field(text: str, ids: dict[str, str]) -> Field:
    type_name, name = text.split(" ")
    bare = type_name.rstrip("?*[]")
    type_: int | str = BUILT_IN["Structure"] if "*" in type_name else BUILT_IN.get(bare, ids.get(bare, ""))
    return Field(name, type_, 1 if "[]" in type_name else -1, "?" in type_name)


STANDARD: tuple[Definition, ...] = tuple(_definitions())
