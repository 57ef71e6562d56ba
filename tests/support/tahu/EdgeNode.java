import java.math.BigInteger;
import java.util.Arrays;
import java.util.Date;
import org.eclipse.paho.client.mqttv3.MqttClient;
import org.eclipse.paho.client.mqttv3.MqttConnectOptions;
import org.eclipse.paho.client.mqttv3.persist.MemoryPersistence;
import org.eclipse.tahu.message.SparkplugBPayloadEncoder;
import org.eclipse.tahu.message.model.DataSet;
import org.eclipse.tahu.message.model.DataSetDataType;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.MetricDataType;
import org.eclipse.tahu.message.model.PropertyDataType;
import org.eclipse.tahu.message.model.PropertySet;
import org.eclipse.tahu.message.model.PropertyValue;
import org.eclipse.tahu.message.model.Row;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.message.model.Value;

/** An edge node whose payloads Eclipse Tahu encodes: born, says so many counters, then one value of each type, and dies when its input ends. */
public final class EdgeNode {
    private static final SparkplugBPayloadEncoder ENCODER = new SparkplugBPayloadEncoder();
    private static long seq;

    private EdgeNode() {}

    public static void main(String[] words) throws Exception {
        int count = Integer.parseInt(words[1]);
        MqttClient client = new MqttClient(words[0], "tahu", new MemoryPersistence());
        MqttConnectOptions options = new MqttConnectOptions();
        options.setWill("spBv1.0/tahu/NDEATH/edge", encode(null, bdSeq()), 1, false);
        client.connect(options);
        client.publish("spBv1.0/tahu/NBIRTH/edge", encode(0L, bdSeq(), metric("Node Control/Rebirth", null, MetricDataType.Boolean, false)), 0, false);
        client.publish("spBv1.0/tahu/DBIRTH/edge/T1", encode(next(), births()), 0, false);
        for (int n = 1; n <= count; n++) {
            client.publish("spBv1.0/tahu/DDATA/edge/T1", encode(next(), metric(null, 1L, MetricDataType.Int64, (long) n)), 0, false);
        }
        client.publish("spBv1.0/tahu/DDATA/edge/T1", encode(next(), values(null)), 0, false);
        System.out.println("said");
        while (System.in.read() >= 0) {
        }
        Runtime.getRuntime().halt(0);
    }

    private static Metric[] births() throws Exception {
        PropertySet unit = new PropertySet.PropertySetBuilder()
            .addProperty("engUnit", new PropertyValue(PropertyDataType.String, "bar"))
            .addProperty("engHigh", new PropertyValue(PropertyDataType.Double, 16.0))
            .createPropertySet();
        Metric counter = new Metric.MetricBuilder("n", MetricDataType.Int64, 0L).alias(1L).properties(unit).timestamp(new Date(1_700_000_000_000L)).createMetric();
        Metric[] all = values("");
        Metric[] found = Arrays.copyOf(all, all.length + 1);
        found[all.length] = counter;
        return found;
    }

    /** One value of each type; named in the birth, by alias afterwards. */
    private static Metric[] values(String named) throws Exception {
        DataSet table = new DataSet.DataSetBuilder(2).addColumnName("lot").addColumnName("count")
            .addType(DataSetDataType.String).addType(DataSetDataType.Int32)
            .addRow(new Row.RowBuilder().addValue(new Value<>(DataSetDataType.String, "B-17")).addValue(new Value<>(DataSetDataType.Int32, -5)).createRow())
            .createDataSet();
        Object[][] all = {
            {"Int8", MetricDataType.Int8, (byte) -128}, {"Int16", MetricDataType.Int16, (short) -32768}, {"Int32", MetricDataType.Int32, Integer.MIN_VALUE},
            {"Int64", MetricDataType.Int64, Long.MIN_VALUE}, {"UInt8", MetricDataType.UInt8, (short) 255}, {"UInt16", MetricDataType.UInt16, 65535},
            {"UInt32", MetricDataType.UInt32, 4294967295L}, {"UInt64", MetricDataType.UInt64, new BigInteger("18446744073709551615")},
            {"Float", MetricDataType.Float, 0.5f}, {"Double", MetricDataType.Double, 0.1}, {"Boolean", MetricDataType.Boolean, true},
            {"String", MetricDataType.String, "ポンプ"}, {"Text", MetricDataType.Text, "t"}, {"DateTime", MetricDataType.DateTime, new Date(1_700_000_000_123L)},
            {"Bytes", MetricDataType.Bytes, new byte[] {0, 1}}, {"DataSet", MetricDataType.DataSet, table},
            {"Int32Array", MetricDataType.Int32Array, new Integer[] {-1, 2}}, {"DoubleArray", MetricDataType.DoubleArray, new Double[] {0.1, -2.0}},
            {"BooleanArray", MetricDataType.BooleanArray, new Boolean[] {true, false, true}}, {"StringArray", MetricDataType.StringArray, new String[] {"ABC", "水"}},
        };
        Metric[] found = new Metric[all.length];
        for (int at = 0; at < all.length; at++) {
            found[at] = metric(named == null ? null : (String) all[at][0], 100L + at, (MetricDataType) all[at][1], all[at][2]);
        }
        return found;
    }

    private static Metric metric(String name, Long alias, MetricDataType type, Object value) throws Exception {
        Metric.MetricBuilder made = new Metric.MetricBuilder(name, type, value).timestamp(new Date());
        return (alias == null ? made : made.alias(alias)).createMetric();
    }

    private static Metric bdSeq() throws Exception {
        return metric("bdSeq", null, MetricDataType.Int64, 0L);
    }

    private static long next() {
        seq = (seq + 1) % 256;
        return seq;
    }

    private static byte[] encode(Long number, Metric... metrics) throws Exception {
        SparkplugBPayload.SparkplugBPayloadBuilder payload = new SparkplugBPayload.SparkplugBPayloadBuilder().setTimestamp(new Date()).addMetrics(Arrays.asList(metrics));
        return encode(number == null ? payload.createPayload() : payload.setSeq(number).createPayload());
    }

    private static byte[] encode(SparkplugBPayload payload) throws Exception {
        return ENCODER.getBytes(payload, payload.getSeq() != null && payload.getSeq() > 1);
    }
}
